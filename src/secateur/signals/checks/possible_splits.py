"""Try each split protocol on a set of recordings: which are possible, which leak, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from secateur.core.errors import DataError
from secateur.signals.findings import Finding, error, warning
from secateur.signals.protocols import PROTOCOLS
from secateur.signals.recording import Recording
from secateur.signals.split_windows import windows_of
from secateur.signals.splits import Split, make_splits, piece_of
from secateur.signals.windows import WindowSpec, common_rate_hz

_TRIED = tuple(name for name in PROTOCOLS if name != "few_labels")


@dataclass(frozen=True, kw_only=True)
class SplitVerdict:
    """Whether a set can be split by a protocol.

    Parameters
    ----------
    protocol : str
    possible : bool
    leaks : bool
        Whether one specimen may stand in training and test.
    reason : str
        Why it is not possible, or why it leaks.
    """

    protocol: str
    possible: bool
    leaks: bool
    reason: str


def try_splits(
    recordings: Iterable[Recording], window_length: int, asked: str | None = None
) -> list[SplitVerdict]:
    """Try protocols, and whether windows fit into every side.

    Parameters
    ----------
    recordings : iterable of Recording
    window_length : int
        Samples of a window, at the rate to which the recordings are brought.
    asked : str, optional
        The one protocol to try; by default all that need no argument.

    Raises
    ------
    ConfigError
        If there is no such protocol.
    """
    recordings = list(recordings)
    verdicts = []
    for protocol in _TRIED if asked is None else (asked,):
        try:
            splits = make_splits(recordings, protocol, 0, piece_s=piece_of(window_length))
            for split in splits:
                _require_windows(split, window_length)
        except DataError as fault:
            verdicts.append(SplitVerdict(protocol=protocol, possible=False, leaks=False, reason=str(fault)))
        else:
            reasons = [split.leak_reason for split in splits if split.leaks]
            verdicts.append(
                SplitVerdict(
                    protocol=protocol, possible=True, leaks=bool(reasons), reason=" ".join(reasons[:1])
                )
            )
    return verdicts


def _require_windows(split: Split, window_length: int) -> None:
    sides = (split.train, split.validation, split.test)
    rate_hz = common_rate_hz(segment.recording for side in sides for segment in side)
    spec = WindowSpec(sampling_rate_hz=rate_hz, length=window_length)
    windows_of(split, spec, train_hop=window_length, test_hop=window_length)


def split_findings(
    recordings: Sequence[Recording], verdicts: Sequence[SplitVerdict], asked: str | None
) -> Iterator[Finding]:
    """Tell where training cannot begin: the split asked for, or every one, is impossible.

    Parameters
    ----------
    recordings : sequence of Recording
    verdicts : sequence of SplitVerdict
    asked : str or None
        The protocol that was asked for.
    """
    if asked is not None:
        yield from (error("split", asked, verdict.reason) for verdict in verdicts if not verdict.possible)
        return
    if all(recording.fault_location is None for recording in recordings):
        return
    possible = [verdict for verdict in verdicts if verdict.possible]
    if not possible:
        reasons = dict.fromkeys(verdict.reason for verdict in verdicts)
        yield error("no_split", "training", f"no split is possible. {' '.join(reasons)}")
    elif all(verdict.leaks for verdict in possible):
        yield warning(
            "only_leaking_splits",
            "training",
            "every split that is possible may have one bearing in training and in test; its result says "
            "nothing about another bearing.",
        )

"""Check a set of recordings before anything is trained on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import DataError
from secateur.core.files import sha256_of
from secateur.core.progress import track
from secateur.signals.checks.possible_splits import SplitVerdict, split_findings, try_splits
from secateur.signals.checks.waveform import Seen, check_machine, check_speed, check_waveform
from secateur.signals.checks.whole_set import check_levels, check_set, readable_duration_s
from secateur.signals.findings import Finding, error, gravest_first, refuse
from secateur.signals.plausibility import bearing_findings, rate_findings, speed_findings
from secateur.signals.readers.open import indexed_recordings
from secateur.signals.recording import Recording
from secateur.signals.speed import RefinedSpeed
from secateur.signals.windows import WINDOW_LENGTH, common_rate_hz

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check found.

    Parameters
    ----------
    recordings : int
        Recordings that the path holds.
    files_read : int
        Files whose samples were read.
    duration_s : float
        Length of all recordings together.
    findings : tuple of Finding
        Errors first.
    splits : tuple of SplitVerdict
        Which protocols are possible on the set.
    """

    recordings: int
    files_read: int
    duration_s: float
    findings: tuple[Finding, ...]
    splits: tuple[SplitVerdict, ...]

    def count(self, severity: str) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check(path: Path, *, split: str | None = None, window_length: int = WINDOW_LENGTH) -> Report:
    """Check every recording below a path and the set as a whole.

    Parameters
    ----------
    path : Path
        Anything that ``load_recordings`` reads.
    split : str, optional
        Protocol that must be possible; by default any one must be, where there are labels.
    window_length : int
        Samples of a model's window.

    Returns
    -------
    Report
        Training refuses nothing in which there are no errors.

    Raises
    ------
    DataError
        If nothing is there or the layout is not known. A layout that is known but damaged is a finding.
    ConfigError
        If there is no such protocol.
    """
    recordings = indexed_recordings(path)
    seen, findings, files = Seen(), list(check_set(recordings)), set()
    window_s = window_length / common_rate_hz(recordings)
    usable = []
    for recording in track(recordings, "checking recordings"):
        found = [*statement_findings(recording), *_file_findings(recording)]
        try:
            found += check_waveform(recording, seen, window_s=window_s)
            found += [*check_machine(recording), *check_speed(recording)]
            files.add(recording.path or recording.recording_id)
            usable.append(recording)
        except DataError as fault:
            if not any(finding.code == "missing_file" for finding in found):
                found.append(error("unreadable", recording.recording_id, str(fault)))
        findings += found
    findings += check_levels(usable, seen.level)
    verdicts = try_splits(usable, window_length, split)
    findings += split_findings(usable, verdicts, split)
    return Report(
        recordings=len(recordings),
        files_read=len(files),
        duration_s=sum(recording.duration_s for recording in usable),
        findings=tuple(gravest_first(findings)),
        splits=tuple(verdicts),
    )


def require_sound(
    recordings: Sequence[Recording], *, window_length: int, channel: int | str | None = None
) -> list[Finding]:
    """Refuse recordings that a model must not be trained or judged on; return the other findings.

    The same checks as :func:`check`, on the channel that is used. What only splits need is judged by the
    splits themselves.

    Parameters
    ----------
    recordings : sequence of Recording
        Those that are used.
    window_length : int
    channel : int or str, optional

    Raises
    ------
    DataError
        If there is an error; the message lists the first of them.
    """
    seen, findings = Seen(), list(check_set(recordings))
    window_s = window_length / common_rate_hz(recordings)
    for recording in track(recordings, "checking recordings"):
        findings += statement_findings(recording)
        used = 0 if channel is None else channel
        findings += check_waveform(recording, seen, window_s=window_s, channel=used)
        findings += check_machine(recording, used)
    findings += check_levels(recordings, seen.level)
    return gravest_first(refuse(findings))


def doubts(
    recording: Recording, channel: int, *, window_s: float, found: RefinedSpeed | None = None
) -> list[Finding]:
    """Refuse to diagnose a recording of which something impossible is said; return what is doubtful.

    Whether a machine turns in it is for the judgement to say.

    Parameters
    ----------
    recording : Recording
        With the speed and the fault orders that the diagnosis goes by.
    channel : int
        The one that is diagnosed.
    window_s : float
        Length of the model's windows.
    found : RefinedSpeed, optional
        What the shaft's lines say of the stated speed, where that was sought before.

    Raises
    ------
    DataError
        If a statement contradicts physics or the shaft's lines, so that the diagnosis would be wrong.
    """
    said = refuse([*statement_findings(recording), *check_speed(recording, channel, found=found)])
    heard = check_waveform(recording, Seen(), window_s=window_s, channel=channel)
    return [finding for finding in (*said, *heard) if finding.severity != "note"]


def statement_findings(recording: Recording) -> Iterator[Finding]:
    """Compare what is said about one recording with physics; no sample is read."""
    name = recording.recording_id
    yield from recording.findings
    yield from rate_findings(name, recording.sampling_rate_hz)
    if recording.fault_orders is not None:
        subject = f"{name} (bearing {recording.bearing})" if recording.bearing else name
        yield from bearing_findings(subject, recording.fault_orders)
    yield from speed_findings(
        name,
        sampling_rate_hz=recording.sampling_rate_hz,
        shaft_speed_rpm=recording.shaft_speed_rpm,
        fault_orders=recording.fault_orders,
        duration_s=readable_duration_s(recording) or None,
    )


def _file_findings(recording: Recording) -> Iterator[Finding]:
    name = recording.recording_id
    if recording.path is not None and not recording.path.is_file():
        yield error("missing_file", name, f"{recording.path} is missing; copy or fetch it again.")
    elif recording.path is not None and recording.sha256 and sha256_of(recording.path) != recording.sha256:
        yield error(
            "checksum",
            name,
            f"{recording.path} does not have the SHA-256 that the index gives; fetch it again.",
        )


def condensed(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings for reading: many of one kind become one that names the first few.

    Parameters
    ----------
    findings : iterable of Finding
        Gravest first.
    """
    kinds: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.severity, finding.code].append(finding)
    shown = []
    for members in kinds.values():
        shown += members[:_SHOWN]
        others = members[_SHOWN:]
        if others:
            first = members[0]
            shown.append(
                Finding(
                    severity=first.severity,
                    code=first.code,
                    subject=f"{len(others)} more",
                    message=", ".join(finding.subject for finding in others[: 4 * _SHOWN])
                    + (", ..." if len(others) > 4 * _SHOWN else "")
                    + " (--json gives all)",
                )
            )
    return shown

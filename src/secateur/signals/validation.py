"""The validation part of a split: whole specimens where a class has several, else ends of recordings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from secateur.core.seeds import generator
from secateur.signals.recording import Recording
from secateur.signals.segment import Segment
from secateur.signals.selection import drawn_evenly, kinds_of_machines, specimen_of

SHARE_OF_SPECIMENS = 0.25
SHARE_OF_RECORDINGS = 0.2
FEW_SPECIMENS = 8
"""With fewer of a class to learn from, none can be spared: what was held out is trained on in the end."""


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """Training material, a part of it held back to choose by.

    Parameters
    ----------
    train, validation : tuple of Segment
    lone_classes : tuple of str
        Classes with one training specimen: their validation part is the end of its recordings, by which
        nobody can tell the fault from the specimen. None where the test is of known specimens.
    few_specimens : bool
        Whether a class that gave up a specimen has fewer than :data:`FEW_SPECIMENS`.
    """

    train: tuple[Segment, ...]
    validation: tuple[Segment, ...]
    lone_classes: tuple[str, ...]
    few_specimens: bool


def hold_back(
    recordings: Sequence[Recording],
    class_of: dict[str, str],
    classes: Sequence[str],
    *,
    seed: int,
    known_specimens: bool,
) -> HeldBack:
    """Hold back a quarter of the specimens of each class, one at least; of a lone one the last fifth.

    Of each kind of machine some stay in training as long as there are any.

    Parameters
    ----------
    recordings : sequence of Recording
        Training side.
    class_of : dict
        Class name by recording id.
    classes : sequence of str
        Labels are indices into it.
    seed : int
        Decides which specimens.
    known_specimens : bool
        Whether the test is of the specimens that are trained on. Then all of them are needed for training,
        and the ends of their recordings are what is to be recognised.
    """
    specimens: dict[str, set[str]] = {name: set() for name in classes}
    for recording in recordings:
        specimens[class_of[recording.recording_id]].add(specimen_of(recording))
    kind_of = kinds_of_machines(recordings)
    held = set() if known_specimens else _drawn(specimens, kind_of, seed)
    judged_unseen = {name for name, members in specimens.items() if members & held}
    train, validation = [], []
    for recording in recordings:
        name = class_of[recording.recording_id]
        label = classes.index(name)
        if specimen_of(recording) in held:
            validation.append(Segment.whole(recording, label))
        elif name in judged_unseen:
            train.append(Segment.whole(recording, label))
        else:
            border = recording.n_samples - round(SHARE_OF_RECORDINGS * recording.n_samples)
            train.append(Segment(recording=recording, label=label, start=0, stop=border))
            validation.append(
                Segment(recording=recording, label=label, start=border, stop=recording.n_samples)
            )
    return HeldBack(
        train=tuple(train),
        validation=tuple(validation),
        lone_classes=() if known_specimens else tuple(name for name in classes if name not in judged_unseen),
        few_specimens=any(len(specimens[name]) < FEW_SPECIMENS for name in judged_unseen),
    )


def _drawn(specimens: dict[str, set[str]], kind_of: Mapping[str, Hashable], seed: int) -> set[str]:
    """Draw the specimens that are held back; each class keeps one, whatever it shares with others."""
    held: set[str] = set()
    for name in sorted(specimens):
        count = max(1, round(SHARE_OF_SPECIMENS * len(specimens[name])))
        for specimen in drawn_evenly(specimens[name], kind_of, generator(seed, "validation specimens", name)):
            if len(specimens[name] & held) >= count:
                break
            more = held | {specimen}
            if all(others - more for others in specimens.values()):
                held = more
    return held

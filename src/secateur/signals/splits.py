"""Splits of recordings into training, validation and test, each saying whether it leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from secateur.core.errors import DataError
from secateur.signals.holdouts import Holdout, Request, holdouts
from secateur.signals.pieces import keep_few_labels, random_pieces
from secateur.signals.protocols import PROTOCOLS, Protocol, few_labels_argument, parse_protocol
from secateur.signals.recording import Recording
from secateur.signals.segment import UNLABELLED, Segment
from secateur.signals.selection import (
    class_with_size,
    fine_classes,
    labelled,
    one_rate_each,
    ordered_classes,
    specimen_of,
)
from secateur.signals.validation import hold_back
from secateur.signals.windows import WINDOW_LENGTH

__all__ = ["PROTOCOLS", "Protocol", "Segment", "Split", "make_splits", "parse_protocol"]

EVERYTHING = "everything"


def piece_of(window_length: int) -> float:
    """Return the seconds of the pieces that random splits draw: 1 for windows of the default length."""
    return window_length / WINDOW_LENGTH


@dataclass(frozen=True, kw_only=True)
class Split:
    """Segments of the sides of a task.

    Parameters
    ----------
    protocol : str
        As one would write it, "fault_size:14".
    leaks : bool
        Whether one specimen stands in training and in test.
    leak_reason : str
        Which specimens, if it leaks.
    caveat : str
        What else a reader of the result must know.
    classes : tuple of str
        Names; labels are indices into it.
    train, validation, test : tuple of Segment
    test_snr_db : float or None
        Noise to be added to the test windows, as signal-to-noise ratio.
    unlabelled : tuple of Segment
        Training material without labels.
    lone_classes : tuple of str
        Classes of which one specimen alone is trained on and chosen by.
    last_fit : bool
        Whether the held-out specimens are so many of the few that training must end with a fit on all.
    """

    protocol: str
    leaks: bool
    leak_reason: str
    classes: tuple[str, ...]
    train: tuple[Segment, ...]
    validation: tuple[Segment, ...]
    test: tuple[Segment, ...]
    test_snr_db: float | None = None
    unlabelled: tuple[Segment, ...] = ()
    caveat: str = ""
    lone_classes: tuple[str, ...] = ()
    last_fit: bool = False

    def groups(self) -> dict[str, list[str]]:
        """Return the specimens of each side."""
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        if self.unlabelled:
            sides["unlabelled"] = self.unlabelled
        return {side: sorted(_groups(segments)) for side, segments in sides.items()}

    @property
    def lone_test_classes(self) -> tuple[str, ...]:
        """Classes of which one specimen alone is tested."""
        tested = [_groups(s for s in self.test if s.label == label) for label in range(len(self.classes))]
        return tuple(name for name, groups in zip(self.classes, tested, strict=True) if len(groups) == 1)


def make_splits(
    recordings: Iterable[Recording],
    protocol: str,
    seed: int,
    *,
    piece_s: float = 1.0,
    extra_sizes_in_training: bool = False,
) -> list[Split]:
    """Split recordings by a protocol of :data:`PROTOCOLS`.

    A validation part is always taken from the training side: whole specimens of each class that has two or
    more (see :mod:`secateur.signals.validation`), else the last fifth of each recording. Recordings without
    a label become unlabelled training material unless their specimen is in the test.

    Parameters
    ----------
    recordings : iterable of Recording
    protocol : str
        Such as ``load``, ``load@-6``, ``fault_size:14``, ``few_labels:5``.
    seed : int
        Decides which windows, labels or specimens are drawn where the protocol leaves it open.
    piece_s : float
        Length in seconds of the pieces that ``random_window`` and ``few_labels`` draw; at least the
        length of a window.
    extra_sizes_in_training : bool
        Train also on defect sizes at which not every location was recorded (28 mil at Case Western).

    Returns
    -------
    list of Split
        One, or one of each size for ``fault_size:all``.

    Raises
    ------
    ConfigError
        If there is no such protocol.
    DataError
        If the recordings cannot be split that way; the message names what is missing.
    """
    recordings = list(recordings)
    parsed = parse_protocol(protocol)
    if parsed.name == "few_labels":
        percent, base = few_labels_argument(parsed.argument or "")
        full = make_splits(
            recordings, base, seed, piece_s=piece_s, extra_sizes_in_training=extra_sizes_in_training
        )
        return [
            _with_noise(_with_few_labels(split, percent, seed, piece_s), parsed.test_snr_db) for split in full
        ]
    if parsed.name == "random_window":
        splits = [_random_window(recordings, seed, piece_s)]
    else:
        request = Request(
            recordings=labelled(recordings),
            argument=parsed.argument,
            seed=seed,
            extra_sizes_in_training=extra_sizes_in_training,
        )
        splits = [_from_holdout(holdout, recordings, seed) for holdout in holdouts.get(parsed.name)(request)]
    return [_with_noise(split, parsed.test_snr_db) for split in splits]


def whole_test(recordings: Iterable[Recording], classes: Sequence[str]) -> tuple[Split, dict[str, int]]:
    """Take every labelled recording as test material for a model of given classes.

    Parameters
    ----------
    recordings : iterable of Recording
    classes : sequence of str
        Locations, or locations with sizes ("ball_014"), as the model knows them.

    Returns
    -------
    split : Split
        Without training and validation.
    unknown : dict
        Recordings by label that is none of the classes; they are left out.

    Raises
    ------
    DataError
        If no recording has a label, or none a label that the model knows.
    """
    test, unknown = [], Counter[str]()
    found = labelled(recordings)
    for recording in found:
        names = (class_with_size(recording), str(recording.fault_location))
        label = next((classes.index(name) for name in names if name in classes), None)
        if label is None:
            unknown[names[0]] += 1
        else:
            test.append(Segment.whole(recording, label))
    if not test:
        raise DataError(
            f"none of the {len(found)} labelled recordings is of a class that the model knows: they are "
            f"{', '.join(unknown)}, and it knows {', '.join(classes)}."
        )
    split = Split(
        protocol=EVERYTHING,
        leaks=False,
        leak_reason="",
        classes=tuple(classes),
        train=(),
        validation=(),
        test=tuple(test),
    )
    return split, dict(unknown)


def _with_noise(split: Split, snr_db: float | None) -> Split:
    if snr_db is None:
        return split
    return replace(split, protocol=f"{split.protocol}@{snr_db:g}", test_snr_db=snr_db)


def _from_holdout(holdout: Holdout, recordings: Sequence[Recording], seed: int) -> Split:
    train_classes = {holdout.class_of[recording.recording_id] for recording in holdout.train}
    test_classes = {holdout.class_of[recording.recording_id] for recording in holdout.test}
    for missing, side in ((test_classes - train_classes, "training"), (train_classes - test_classes, "test")):
        if missing:
            raise DataError(
                f"split '{holdout.protocol}': class {', '.join(sorted(missing))} is absent from {side}; "
                "every class must stand on both sides. Leave its recordings out or use another protocol."
            )
    classes = ordered_classes(train_classes)
    if len(classes) < 2:
        raise DataError(
            f"split '{holdout.protocol}': the only class is {', '.join(classes)}; it needs two or more."
        )
    held_back = hold_back(
        holdout.train, holdout.class_of, classes, seed=seed, known_specimens=holdout.specimens_shared
    )
    test = [
        Segment.whole(recording, classes.index(holdout.class_of[recording.recording_id]))
        for recording in holdout.test
    ]
    leak_reason, caveat = _shared_specimens(holdout)
    return Split(
        protocol=holdout.protocol,
        leaks=bool(leak_reason),
        leak_reason=leak_reason,
        classes=classes,
        train=held_back.train,
        validation=held_back.validation,
        test=tuple(test),
        unlabelled=_without_label(recordings, test),
        caveat=caveat,
        lone_classes=held_back.lone_classes,
        last_fit=held_back.few_specimens,
    )


def _shared_specimens(holdout: Holdout) -> tuple[str, str]:
    in_test = {specimen_of(recording) for recording in holdout.test}
    shared = sorted({specimen_of(recording) for recording in holdout.train} & in_test)
    if not shared:
        return "", ""
    if holdout.specimens_shared:
        documented = all(recording.specimens_documented for recording in (*holdout.train, *holdout.test))
        are = "are" if documented else "may be (specimens are not documented)"
        return (
            f"{len(shared)} of {len(in_test)} test specimens {are} in training too: {', '.join(shared)}.",
            "",
        )
    damaged = {
        specimen_of(recording)
        for recording in (*holdout.train, *holdout.test)
        if recording.fault_location != "normal"
    }
    broken = [group for group in shared if group in damaged]
    if broken or not holdout.normals_shared:
        raise DataError(
            f"split '{holdout.protocol}' must not leak, but specimen {', '.join(broken or shared)} stands in "
            "training and in test. Correct the group of these recordings, or use 'load' or 'random_window'."
        )
    return (
        "",
        f"The normals of both sides are one bearing at two loads ({', '.join(shared)}): only the damaged "
        "specimens of the test are unseen.",
    )


def _random_window(recordings: Sequence[Recording], seed: int, piece_s: float) -> Split:
    kept, class_of = fine_classes(one_rate_each(labelled(recordings)))
    classes = ordered_classes(class_of.values())
    if len(classes) < 2:
        raise DataError(
            f"split 'random_window': the only class is {', '.join(classes)}; it needs two or more classes."
        )
    whole = [Segment.whole(recording, classes.index(class_of[recording.recording_id])) for recording in kept]
    train, validation, test = random_pieces(whole, seed, piece_s)
    shared = _groups(train) & _groups(test)
    return Split(
        protocol="random_window",
        leaks=True,
        leak_reason=f"Pieces of one recording stand in training and test, for all {len(shared)} specimens.",
        classes=classes,
        train=train,
        validation=validation,
        test=test,
        unlabelled=_without_label(recordings, test),
    )


def _with_few_labels(split: Split, percent: float, seed: int, piece_s: float) -> Split:
    kept, without = keep_few_labels(split.train, percent, seed, piece_s)
    note = f"{percent:g} % of the training labels are kept; the validation part keeps all of its labels."
    return replace(
        split,
        protocol=f"few_labels:{percent:g},{split.protocol}",
        train=kept,
        unlabelled=(*split.unlabelled, *without),
        caveat=f"{split.caveat} {note}".strip(),
        # the labels of the validation part are not among the few
        last_fit=False,
    )


def _without_label(recordings: Sequence[Recording], test: Sequence[Segment]) -> tuple[Segment, ...]:
    in_test = {specimen_of(segment.recording) for segment in test}
    return tuple(
        Segment.whole(recording, UNLABELLED)
        for recording in recordings
        if recording.fault_location is None and specimen_of(recording) not in in_test
    )


def _groups(segments: Iterable[Segment]) -> set[str]:
    return {segment.group_id for segment in segments}

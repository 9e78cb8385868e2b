"""Windows of the three sides of a split; none of them may lack a class."""

from __future__ import annotations

from secateur.core.errors import DataError
from secateur.signals.splits import Split
from secateur.signals.windows import Windows, WindowSpec


def windows_of(
    split: Split, spec: WindowSpec, *, train_hop: int, test_hop: int, channel: int | str = 0
) -> tuple[Windows, Windows, Windows]:
    """Cut the windows of training, validation and test.

    Parameters
    ----------
    split : Split
    spec : WindowSpec
    train_hop, test_hop : int
        Samples from one window's start to the next; validation has that of the test.
    channel : int or str

    Raises
    ------
    DataError
        If a side has no window at all, or none of a class: its recordings there are too short for one.
    """
    found = []
    for side, segments, hop in (
        ("training", split.train, train_hop),
        ("validation", split.validation, test_hop),
        ("test", split.test, test_hop),
    ):
        try:
            windows = Windows(segments, spec, hop, channel)
        except DataError as error:
            raise DataError(f"{side}: {error}") from None
        present = set(windows.labels.tolist())
        for number, name in enumerate(split.classes):
            if number not in present:
                longest = max((s.duration_s for s in segments if s.label == number), default=0.0)
                raise DataError(
                    f"{side}: no window of {spec.duration_s:.3f} s is of class {name}, whose longest stretch "
                    f"there has {longest:.3f} s; every class must stand on every side. Record more, or take "
                    "shorter windows (--window-length)."
                )
        found.append(windows)
    train, validation, test = found
    return train, validation, test

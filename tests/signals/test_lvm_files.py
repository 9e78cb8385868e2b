"""LabVIEW measurement files: what is read of each channel, segments, and files that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.sources.open import open_source

pytest.importorskip("lvm_read")

RATE = 12_800.0
VALUES = np.random.default_rng(5).standard_normal((600, 2)).round(6)
NAMES, UNITS = ("pump DE", "motor NDE"), ("g", "mm/s")
END = "***End_of_Header***"


def lvm(
    path: Path,
    *segments: tuple[float, np.ndarray],
    separator: str = "\t",
    decimal: str = ".",
    axis: str = "One",
    step: float = 1 / RATE,
    listed_step: float | None = None,
    dimension: str = "Time",
    told: int | None = None,
    names: Sequence[str] = NAMES,
) -> Path:
    """Write segments, each of a start in seconds and values of shape (samples, channels)."""

    gap = [""] if axis == "Multi" else []

    def line(*fields: object) -> str:
        return separator.join(map(str, fields)) + separator

    def each(*fields: object) -> list[object]:
        return [part for field in fields for part in (field, *gap)]

    def number(value: float) -> str:
        return f"{value:.6f}".replace(".", decimal)

    def columns(x: str, of_channels: Iterable[str]) -> list[str]:
        """Return the fields of a row: one x in front, or one in front of each channel."""
        if axis == "Multi":
            return [part for field in of_channels for part in (x, field)]
        return [x, *of_channels]

    word = {"\t": "Tab", ",": "Comma", ";": ";"}[separator]
    lines = [
        line("LabVIEW Measurement"),
        line("Writer_Version", 2),
        f"Separator{separator}{word}",
        f"Decimal_Separator{separator}{decimal}",
        f"X_Columns{separator}{axis}",
        line(END),
        separator,
    ]
    for start, values in segments:
        count = values.shape[1]
        spacing = f"{step:.6E}".replace(".", decimal)
        lines += [
            line("Channels", count, *[""] * count * len(gap)),
            line("Samples", *each(*[told or len(values)] * count)),
            line("Y_Unit_Label", *each(*UNITS[:count])),
            line("X_Dimension", *each(*[dimension] * count)),
            line("X0", *each(*[f"{start:.16E}".replace(".", decimal)] * count)),
            line("Delta_X", *each(*[spacing] * count)),
            line(END),
            separator.join([*columns("X_Value", names), "Comment"]),
        ]
        at = start + np.arange(len(values)) * (listed_step or step)
        for x, row in zip(at, values, strict=True):
            first = "" if axis == "No" else number(x)
            lines.append(separator.join(columns(first, map(number, row))))
        lines.append(separator)
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("axis", ["One", "No", "Multi"])
@pytest.mark.parametrize(("separator", "decimal"), [("\t", "."), ("\t", ",")])
def test_values_rate_and_unit_of_each_channel(
    tmp_path: Path, axis: str, separator: str, decimal: str
) -> None:
    path = lvm(tmp_path / "x.lvm", (0.0, VALUES), axis=axis, separator=separator, decimal=decimal)
    for number, (name, unit) in enumerate(zip(NAMES, UNITS, strict=True)):
        opened = open_source(path, (name,))
        assert (opened.rate(None, "x").value, opened.unit) == (RATE, unit)
        np.testing.assert_allclose(opened.source.read(100, 600)[0], VALUES[100:, number], rtol=1e-6)


def test_the_one_channel_needs_no_name(tmp_path: Path) -> None:
    opened = open_source(lvm(tmp_path / "x.lvm", (0.0, VALUES[:, :1]), names=NAMES[:1]))
    assert opened.channels == ("pump DE",)
    assert opened.source.n_samples == len(VALUES)


def test_segments_that_follow_each_other_are_one_recording(tmp_path: Path) -> None:
    path = lvm(tmp_path / "x.lvm", (0.0, VALUES[:400]), (400 / RATE, VALUES[400:]))
    opened = open_source(path, ("pump DE",))
    np.testing.assert_allclose(opened.source.read(0, 600)[0], VALUES[:, 0], rtol=1e-6)


@pytest.mark.parametrize("start", [0.0, 500 / RATE])
def test_segments_with_a_gap_between_are_refused(tmp_path: Path, start: float) -> None:
    path = lvm(tmp_path / "x.lvm", (0.0, VALUES[:400]), (start, VALUES[400:]))
    with pytest.raises(DataError, match="segment 2 of 2 does not go on"):
        open_source(path, ("pump DE",))


def test_spectra_have_no_rate(tmp_path: Path) -> None:
    path = lvm(tmp_path / "x.lvm", (0.0, VALUES), step=2.5, dimension="Frequency")
    assert open_source(path, ("pump DE",)).rate(None, "x") is None


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"told": 700}, "700 samples, 600 are there"),
        ({"names": NAMES[:1]}, "2 channels, 1 are there"),
        ({"listed_step": 2 / RATE}, "Delta_X is 7.8125e-05, and the values of X_Value are 0.00015625"),
    ],
)
def test_files_that_contradict_themselves_are_refused(tmp_path: Path, how: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_source(lvm(tmp_path / "x.lvm", (0.0, VALUES), **how), ("pump DE",))


def test_a_hole_is_no_signal(tmp_path: Path) -> None:
    holed = VALUES.copy()
    holed[300, 0] = np.nan
    path = lvm(tmp_path / "x.lvm", (0.0, holed))
    with pytest.raises(DataError, match="1 of its values are missing"):
        open_source(path, ("pump DE",))
    assert open_source(path, ("motor NDE",)).channels == ("motor NDE",)


@pytest.mark.parametrize("content", ["", "1,2\n3,4\n", "time\tacc\n0\t1\n"])
def test_other_text_is_no_lvm(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.lvm"
    path.write_text(content)
    with pytest.raises(DataError, match="does not begin with 'LabVIEW Measurement'"):
        open_source(path)


def test_a_head_without_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.lvm"
    path.write_text(f"LabVIEW Measurement\t\nSeparator\tTab\n{END}\t\n")
    with pytest.raises(DataError, match="is not a whole LVM file"):
        open_source(path)

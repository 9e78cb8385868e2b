"""TDMS and universal files: what is stated of one channel, and files that were not written to their end."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.sources import tdms as tdms_files
from secateur.signals.sources.open import open_source

nptdms = pytest.importorskip("nptdms")
pytest.importorskip("pyuff")

RATE = 12_800.0
ACC = np.random.default_rng(5).standard_normal(4000).round(4)
VELOCITY = np.random.default_rng(6).standard_normal(2000).round(4)


def uff(
    path: Path,
    *responses: tuple[np.ndarray, float],
    units: tuple[str, ...] = ("m/s^2", "mm/s"),
    told: int = 0,
    abscissa: str = "s",
    steps: np.ndarray | None = None,
) -> Path:
    """Write time responses as data sets 58; ``steps`` are the times of uneven spacing."""
    lines = []
    for node, ((values, rate), unit) in enumerate(zip(responses, units, strict=False), start=1):
        spaced = 1 if steps is None else 0
        step = 1 / rate if steps is None else 0.0
        lines += ["    -1", "    58", *["NONE"] * 5]
        lines.append(f"    1         0    0         0       NONE {node:>9}   3       NONE         0   0")
        lines.append(f"{4:>10}{told or len(values):>10}{spaced:>10}{0:>13.5e}{step:>13.5e}{0:>13.5e}")
        for kind, axis in ((17, abscissa), (12 if unit == "NONE" else 0, unit), (0, "NONE"), (0, "NONE")):
            lines.append(f"{kind:>10}    0    0    0 {'NONE':<20} {axis:<20}")
        if steps is None:
            lines += [f"{value:>20.11e}" for value in values]
        else:
            lines += [f"{at:>13.5e}{value:>20.11e}" for at, value in zip(steps, values, strict=True)]
        lines.append("    -1")
    path.write_text("\n".join(lines) + "\n")
    return path


def tdms(path: Path, *channels: tuple[str, np.ndarray, dict], **properties: object) -> Path:
    parts = [nptdms.ChannelObject("g", name, values, properties=each) for name, values, each in channels]
    with nptdms.TdmsWriter(str(path)) as file:
        file.write_segment([nptdms.RootObject(properties=properties), *parts])
    return path


def wave(rate: float, **more: object) -> dict:
    return {"wf_increment": 1 / rate, **more}


def two_of_each(folder: Path) -> list[tuple[Path, tuple[str, str]]]:
    """Two channels of unlike rate and quantity, in both formats."""
    a = ("a", ACC, wave(RATE, unit_string="g"))
    b = ("b", VELOCITY, wave(RATE / 2, unit_string="mm/s"))
    return [
        (tdms(folder / "x.tdms", a, b), ("a", "b")),
        (uff(folder / "x.uff", (ACC, RATE), (VELOCITY, RATE / 2), units=("g", "mm/s")), ("1 z+", "2 z+")),
    ]


def test_rate_and_unit_are_those_of_the_chosen_channel(tmp_path: Path) -> None:
    for path, (first, second) in two_of_each(tmp_path):
        for name, values, rate, unit in ((first, ACC, RATE, "g"), (second, VELOCITY, RATE / 2, "mm/s")):
            opened = open_source(path, (name,))
            assert (opened.rate(None, "x").value, opened.unit) == (rate, unit)
            np.testing.assert_array_equal(opened.source.read(0, len(values))[0], values.astype(np.float32))


def test_files_that_were_not_written_to_their_end_are_refused(tmp_path: Path) -> None:
    for path, (first, _) in two_of_each(tmp_path):
        content = path.read_bytes()
        for share in (0.5, 0.9, 0.999):
            path.write_bytes(content[: int(share * len(content))])
            with pytest.raises(DataError, match=r"is not a whole .* file"):
                open_source(path, (first,))


def test_another_quantity_by_its_unit_and_an_empty_channel_are_passed_over(tmp_path: Path) -> None:
    acc = ("a", ACC, wave(RATE, unit_string="m/s^2"))
    warm = ("T", 40 + 0.01 * ACC, wave(RATE, unit_string="degC"))
    assert open_source(tdms(tmp_path / "x.tdms", warm, acc)).channels == ("a",)
    path = tdms(tmp_path / "y.tdms", ("none", np.zeros(0), {}), acc)
    with pytest.raises(DataError, match=r"column 0 \('none'\) holds no sample. If another"):
        open_source(path)
    assert open_source(path, ("a",)).source.n_samples == len(ACC)


def test_what_a_tdms_file_states_as_a_whole(tmp_path: Path) -> None:
    opened = open_source(tdms(tmp_path / "x.tdms", ("a", ACC, {}), sample_rate=RATE, rpm=1500.0, note="x"))
    assert opened.rate(None, "x").value == RATE
    assert opened.speed is not None
    assert opened.speed.value == 1500
    step_of_frequency = ("a", ACC, wave(2.0, wf_xunit_string="Hz"))
    assert open_source(tdms(tmp_path / "y.tdms", step_of_frequency)).rate(None, "x") is None


def test_the_abscissa_of_a_universal_file(tmp_path: Path) -> None:
    path = uff(tmp_path / "x.uff", (ACC, RATE / 1000), abscissa="ms", units=("NONE",))
    opened = open_source(path)
    assert (opened.rate(None, "x").value, opened.unit) == (RATE, "m/s^2")
    fast = open_source(uff(tmp_path / "x.uff", (ACC, 44_100.0)))  # its step has six digits
    assert fast.rate(None, "x").value == 44_100
    with pytest.raises(DataError, match=r"tells of 5000 samples, 4000 are there"):
        open_source(uff(tmp_path / "x.uff", (ACC, RATE), told=5000))
    times = np.arange(len(ACC)) / RATE
    even = open_source(uff(tmp_path / "x.uff", (ACC, RATE), steps=times))
    assert even.rate(None, "x").value == pytest.approx(RATE, rel=1e-4)
    times[2000:] += 0.25
    with pytest.raises(DataError, match="steps instead of 1"):
        open_source(uff(tmp_path / "x.uff", (ACC, RATE), steps=times))


def test_pieces_join_and_nothing_is_held_beside_the_bounded_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tdms_files, "PIECE", 1000)
    for path, (first, _) in two_of_each(tmp_path):
        source = open_source(path, (first,)).source
        for start, stop in ((0, 1), (999, 1001), (1000, 2000), (100, 3999), (4000, 4000)):
            np.testing.assert_array_equal(source.read(start, stop)[0], ACC[start:stop].astype(np.float32))
        assert len(pickle.dumps(source)) < 1000


def test_a_tdms_file_is_not_opened_anew_for_every_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(tdms(tmp_path / "x.tdms", ("a", ACC, {}))).source
    source.read(0, 1)
    monkeypatch.setattr(tdms_files, "_opened", None)
    np.testing.assert_array_equal(source.read(1000, 2000)[0], ACC[1000:2000].astype(np.float32))

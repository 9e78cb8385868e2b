"""A time axis tells the rate and where a recording breaks; two statements of a rate are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from secateur.core.errors import DataError
from secateur.signals.sources.open import open_source
from secateur.signals.sources.stated import Statement
from secateur.signals.sources.time_axis import is_ramp, read_time_axis

N = 12_000
ACC = np.random.default_rng(0).standard_normal(N)
EVEN = np.arange(N) / 12_000


def axis(times: np.ndarray, name: str = "time"):
    return read_time_axis(name, lambda start, stop: times[start:stop], len(times), "x.csv, column 'time'")


def said(rate: float) -> Statement:
    return Statement(value=rate, said_by="the description")


@pytest.mark.parametrize(
    ("times", "name", "rate"),
    [
        (EVEN, "time", 12_000),
        (EVEN + 1.7e9, "timestamp", 12_000),
        (1000 * EVEN, "time_ms", 12_000),
        (1e6 * EVEN, "t [us]", 12_000),
        (np.round(EVEN, 3), "time_s", 12_000),
        (np.round(EVEN, 5), "time_s", 12_000),
        (np.floor(EVEN * 10) / 10, "time_s", None),
        (1000 * EVEN, "time", None),
        (np.datetime64("2024-03-01T00:00:00", "ns") + (EVEN * 1e9).astype("timedelta64[ns]"), "date", 12_000),
    ],
)
def test_the_rate_of_a_time_axis(times: np.ndarray, name: str, rate: float | None) -> None:
    found = axis(times, name)
    assert found.agrees(12_000)
    assert not found.agrees(25_600)
    assert found.sampling_rate_hz == (None if rate is None else pytest.approx(rate, rel=2e-3))


def test_whole_seconds_over_a_few_tell_no_rate(tmp_path: Path) -> None:
    stamps = [f"2024-05-01 10:00:{second:02d},{value:.5f}" for second in range(4) for value in ACC[:3000]]
    path = tmp_path / "logger.csv"
    path.write_text("\n".join(["time,acc", *stamps]))
    opened = open_source(path)
    assert opened.rate(None, "logger.csv") is None
    assert opened.rate(said(3000.0), "logger.csv").value == 3000.0
    assert "'time' are rounded too coarsely" in opened.why_no_rate


def test_a_file_that_contradicts_itself_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", acc=ACC, fs=25_600.0, sampling_rate_hz=12_000.0)
    with pytest.raises(DataError, match=r"two\.npz: the file's 'fs' says 25600 Hz"):
        open_source(tmp_path / "two.npz")


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (np.where(np.arange(N) < 7000, EVEN, EVEN + 5), "sample 7000 comes 5.0"),
        (np.round(np.where(np.arange(N) < 7000, EVEN, EVEN + 5), 3), "there is a gap|comes 5"),
        (np.where(np.arange(N) == 7000, EVEN - 1 / 12_000, EVEN), "sample 7000 repeats"),
        (np.where(np.arange(N) == 7000, EVEN - 0.5, EVEN), "sample 7000 goes back"),
        (np.where(np.arange(N) == 7000, np.nan, EVEN), "sample 7000 is no time"),
        (np.delete(EVEN, 7000), "sample 7000 comes .* 2 steps instead of 1"),
        (EVEN[::-1], "times must rise"),
    ],
)
def test_where_a_recording_breaks(times: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        axis(times)


N_LONG = 100_000
AT = np.arange(N_LONG)
CHANCE = np.random.default_rng(1)


@pytest.mark.parametrize("fs", [25_600.0, 12_000.0, 10_000.0, 1000.0])
@pytest.mark.parametrize("places", [6, 9])
@pytest.mark.parametrize("jitter", [0.0, 0.05])
@pytest.mark.parametrize(
    "times",
    [
        np.where(AT < 66_667, AT, 2 * AT - 66_667),
        np.where(AT < 50_000, AT, (AT + 50_000) / 2),
        np.where(AT < 95_000, AT, (AT + 95_000) / 2),
        AT[AT % 80 < 64],
        AT[AT % 192 < 64],
        AT[CHANCE.random(N_LONG) > 0.03],
        AT[CHANCE.random(N_LONG) > 0.15],
    ],
    ids=["half", "double", "double late", "fifo", "bursts", "3 % lost", "15 % lost"],
)
def test_what_is_often_uneven_is_uneven(times: np.ndarray, fs: float, places: int, jitter: float) -> None:
    stamped = times + jitter * CHANCE.uniform(-1, 1, len(times))
    with pytest.raises(DataError, match=r"sample \d+ (comes|is|repeats|goes)"):
        axis(np.round(stamped / fs, places))


@pytest.mark.parametrize("fs", [25_600.0, 12_000.0])
def test_every_32nd_sample_lost(fs: float) -> None:
    with pytest.raises(DataError, match="2 steps instead of 1"):
        axis(np.round(AT[AT % 32 != 31] / fs, 6))


@pytest.mark.parametrize(
    "times",
    [
        (AT + 0.4 * CHANCE.uniform(-1, 1, N_LONG)) / 12_000,
        (AT + 0.05 * CHANCE.uniform(-1, 1, N_LONG)) / 12_000 + 1.7e9,
        np.round(1.5e-3 * AT, 3),
        np.round(1.03e-3 * AT, 3),
        np.round(2.003e-3 * AT, 3),
        (AT + 1e-9 * AT * AT) / 12_000,
    ],
    ids=["jitter", "little jitter", "1.5", "1.03", "2.003", "drift"],
)
def test_rounded_and_uneven_stamps_of_even_samples_pass(times: np.ndarray) -> None:
    assert axis(times).sampling_rate_hz == pytest.approx((N_LONG - 1) / (times[-1] - times[0]), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "per_second"),
    [("Time [min]", 1 / 60), ("t (msec)", 1e3), ("time_usec", 1e6), ("Time [microseconds]", 1e6)],
)
def test_units_of_time_that_are_spelt_out(name: str, per_second: float) -> None:
    assert axis(EVEN * per_second, name).sampling_rate_hz == pytest.approx(12_000)


def test_a_unit_that_is_not_known_tells_no_rate(tmp_path: Path) -> None:
    opened = open_source(write_csv(tmp_path / "x.csv", EVEN, "Time [jiffies]"))
    assert opened.rate(None, "x") is None
    assert "the unit 'jiffies' of 'Time [jiffies]' is not known; known are h, " in opened.why_no_rate
    assert opened.rate(said(2000.0), "x").value == 2000.0


@settings(max_examples=40)
@given(rate=st.floats(300, 200_000), start=st.floats(0, 1e4), places=st.integers(6, 9))
def test_written_times_give_back_their_rate(rate: float, start: float, places: int) -> None:
    times = np.round(start + np.arange(6000) / rate, places)
    found = axis(times, "time_s")
    assert is_ramp(times[:4096])
    assert found.sampling_rate_hz == pytest.approx(rate, rel=max(1e-4, 4 * 10.0**-places * rate / 6000))


def write_csv(path: Path, times: np.ndarray, name: str = "time") -> Path:
    path.write_text(f"{name},acc\n" + "\n".join(f"{t},{x:.6g}" for t, x in zip(times, ACC, strict=True)))
    return path


def test_a_time_column_is_compared_with_the_rate_that_is_said(tmp_path: Path) -> None:
    opened = open_source(write_csv(tmp_path / "x.csv", np.round(np.arange(N) * 1e-3, 6)))
    with pytest.raises(DataError, match=r"says 12000 Hz and the column 'time' 1000 Hz .steps of 0.001"):
        opened.rate(said(12_000), "x")
    assert opened.rate(None, "x").value == 1000
    assert opened.rate(said(1000), "x").said_by == "the description"


def test_dates_in_text_and_parquet(tmp_path: Path) -> None:
    times = np.datetime64("2024-03-01T12:00:00", "us") + (np.arange(N) * 100).astype("timedelta64[us]")
    opened = open_source(write_csv(tmp_path / "x.csv", times, "date"))
    assert opened.channels == ("acc",)
    assert opened.rate(None, "x").value == 10_000
    tenths = times[0] + np.floor((times - times[0]) / np.timedelta64(100, "ms")) * np.timedelta64(100, "ms")
    pyarrow.parquet.write_table(pyarrow.table({"when": tenths, "acc": ACC}), tmp_path / "x.parquet")
    coarse = open_source(tmp_path / "x.parquet")
    assert coarse.channels == ("acc",)
    assert coarse.rate(said(10_000), "x").value == 10_000
    with pytest.raises(DataError, match="correct the one that is wrong"):
        coarse.rate(said(500), "x")


@pytest.mark.parametrize(
    "pattern",
    [
        "01.03.2024 12:00:{:09.6f}",
        "3/1/2024 12:00:{:09.6f}",
        "12:00:{:09.6f}",
        "3/1/2024 12:00:{:09.6f} PM",
        "11:59:{:09.6f}am",
        "2024-03-01T12:00:{:09.6f}",
    ],
)
def test_dates_as_loggers_write_them(tmp_path: Path, pattern: str) -> None:
    times = [pattern.format(time) for time in EVEN]
    rows = "\n".join(f"{t},{x:.6g}" for t, x in zip(times, ACC, strict=True))
    for header in ("when,acc\n", ""):
        (tmp_path / "x.csv").write_text(header + rows)
        opened = open_source(tmp_path / "x.csv")
        assert (opened.source.n_samples, opened.rate(None, "x").value) == (N, 12_000)


def test_two_time_axes_must_tell_one_rate(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", time=EVEN, clock_s=EVEN + 7, acc=ACC)
    assert open_source(tmp_path / "x.npz").rate(None, "x").value == 12_000
    np.savez(tmp_path / "x.npz", time=EVEN, clock_s=2 * EVEN, acc=ACC)
    with pytest.raises(DataError, match="'time' tells 12000 Hz and 'clock_s' 6000 Hz"):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", time_ms=np.arange(N), acc=ACC)
    with pytest.raises(DataError, match="column 'time_ms' 1000 Hz"):
        open_source(tmp_path / "x.npz").rate(said(12_000), "x")
    np.savez(tmp_path / "x.npz", time=EVEN[::-1], acc=ACC)
    with pytest.raises(DataError, match="times must rise"):
        open_source(tmp_path / "x.npz")


def test_rates_inside_the_file_and_in_its_name_are_compared(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"acc": ACC, "fs": 25_600.0})
    savemat(tmp_path / "b.mat", {"run": {"gs": ACC, "sr": 25_600.0, "rpm": 1500.0}})
    np.savez(tmp_path / "c.npz", acc=ACC, sampling_rate_hz=25_600.0)
    soundfile.write(tmp_path / "d.wav", ACC / 8, 25_600)
    for name in ("a.mat", "b.mat", "c.npz", "d.wav"):
        opened = open_source(tmp_path / name)
        assert opened.rate(None, "x").value == 25_600
        with pytest.raises(DataError, match=r"the description says 12000 Hz and the file's .* 25600 Hz"):
            opened.rate(said(12_000), "x")
    assert open_source(tmp_path / "b.mat").speed.value == 1500
    np.save(tmp_path / "12k_drive_end.npy", ACC)
    named = open_source(tmp_path / "12k_drive_end.npy")
    assert named.rate(None, "x") is None, "a name never gives the rate"
    with pytest.raises(DataError, match="48000 Hz and the file's name 12000 Hz"):
        named.rate(said(48_000), "x")
    for name in ("35Hz12kN.npy", "run_5k.npy", "pump_2024.npy"):
        np.save(tmp_path / name, ACC)
        assert open_source(tmp_path / name).rate(said(25_600), "x").value == 25_600


def test_files_that_are_cut_short_are_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", ACC / 8, 12_000)
    soundfile.write(tmp_path / "x.flac", ACC / 8, 12_000)
    savemat(tmp_path / "x.mat", {"acc": ACC})
    np.savez(tmp_path / "x.npz", acc=ACC)
    np.save(tmp_path / "x.npy", ACC)
    pyarrow.parquet.write_table(pyarrow.table({"acc": ACC}), tmp_path / "x.parquet")
    for name in ("x.wav", "x.flac", "x.mat", "x.npz", "x.npy", "x.parquet"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=name):
            open_source(path)


def test_long_time_axes_show_progress_and_are_read_to_their_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("secateur.signals.sources.time_axis.BLOCK", 1000)
    assert axis(EVEN).sampling_rate_hz == 12_000
    assert "reading the times of x.csv, column 'time'" in capsys.readouterr().err
    for sample in (999, 1000, 1001, N - 1):
        times = np.where(np.arange(N) >= sample, EVEN + 1, EVEN)
        with pytest.raises(DataError, match=f"sample {sample} comes 1.0"):
            axis(times)


def test_a_day_beside_a_time_of_day(tmp_path: Path) -> None:
    rows = [f"2024-03-01,10:00:{time:09.6f},{x:.6g}" for time, x in zip(EVEN, ACC, strict=True)]
    (tmp_path / "x.csv").write_text("day,clock,acc\n" + "\n".join(rows))
    opened = open_source(tmp_path / "x.csv")
    assert opened.channels == ("acc",)
    assert opened.rate(None, "x").value == 12_000


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_times_of_day_in_parquet(tmp_path: Path, unit: str) -> None:
    times = (np.arange(N) * (100 if unit == "us" else 100_000)).astype(np.int64)
    table = pyarrow.table({"t": pyarrow.array(times).cast(pyarrow.time64(unit)), "acc": ACC})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert open_source(tmp_path / "x.parquet").rate(None, "x").value == 10_000


def test_dates_with_a_zone_and_words_behind_the_last_time(tmp_path: Path) -> None:
    times = np.datetime64("2024-03-01T12:00:00", "us") + (np.arange(N) * 100).astype("timedelta64[us]")
    path = write_csv(tmp_path / "x.csv", np.char.add(times.astype(str), "+01:00"))
    assert open_source(path).rate(None, "x").value == 10_000
    with path.open("a") as stream:
        stream.write("\nend,\n")
    with pytest.raises(DataError, match=r"column 'time': among the samples .* words"):
        open_source(path)


def test_iso_times_with_decimal_commas(tmp_path: Path) -> None:
    rows = [f"2024-03-01T12:00:{t:09.6f};{x:.6g}".replace(".", ",") for t, x in zip(EVEN, ACC, strict=True)]
    (tmp_path / "x.csv").write_text("when;acc\n" + "\n".join(rows))
    assert open_source(tmp_path / "x.csv").rate(None, "x").value == 12_000

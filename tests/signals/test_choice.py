"""Which column of a file is the vibration: one rule for every format, refused where it could be another."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
from scipy.io import savemat

from secateur.core.errors import DataError
from secateur.signals.sources.candidates import look_at
from secateur.signals.sources.open import open_source

N = 9000
RNG = np.random.default_rng(3)
ACC = RNG.standard_normal(N).astype(np.float32)
OTHER = RNG.standard_normal(N).astype(np.float32)
RATE = 12_000
TIME = np.arange(N) / RATE
FORMATS = ("csv", "parquet", "mat", "npz")


def write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".csv":
        rows = np.stack([np.asarray(c).astype(str) for c in columns.values()], axis=1)
        path.write_text("\n".join(",".join(row) for row in [list(columns), *rows.tolist()]))
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)
    elif path.suffix == ".mat":
        savemat(path, columns)
    else:
        np.savez(path, **columns)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "beside",
    [
        {"time": TIME},
        {"time_s": TIME, "rpm": 1797 + 0.2 * OTHER},
        {"t": TIME},
        {"clock": TIME + 17.25},
        {"x": np.arange(N)},
        {"packet": np.arange(N) % 256},
        {"temperature": 45 + 0.01 * OTHER},
        {"housing": np.repeat(45.0 + np.arange(9) / 10, N // 9)},
        {"label": np.repeat([0, 1, 2], N // 3)},
        {"setpoint": np.full(N, 3.0)},
        {"time": TIME, "switch": (np.arange(N) > 4000).astype(float)},
        {"steps": np.floor(np.arange(N) / 2000)},
    ],
    ids=lambda beside: "+".join(beside),
)
def test_what_is_no_vibration_is_passed_over(tmp_path: Path, suffix: str, beside: dict) -> None:
    opened = open_source(write(tmp_path / f"x.{suffix}", {**beside, "acc": ACC}))
    assert opened.channels == ("acc",)
    np.testing.assert_array_equal(opened.source.read(5000, 5100)[0], ACC[5000:5100])


@pytest.mark.parametrize("suffix", FORMATS)
def test_several_that_may_be_vibration_are_refused_by_name_and_one_can_be_chosen(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"x.{suffix}", {"time": TIME, "drive": ACC, "fan": OTHER})
    with pytest.raises(DataError, match=r"2 columns that may be vibration.*--channel.*time: .*drive.*fan"):
        open_source(path)
    for wanted in ("fan", "2"):
        opened = open_source(path, (wanted,))
        assert opened.channels == ("fan",)
        np.testing.assert_array_equal(opened.source.read(10, 20)[0], OTHER[10:20])
    with pytest.raises(DataError, match="'time' was chosen as channel, but it rises in even steps"):
        open_source(path, ("0",))
    with pytest.raises(DataError, match=r"no column '7'; it has: time, drive, fan"):
        open_source(path, ("7",))


def test_sound_and_plain_arrays_of_several_channels_ask_which(tmp_path: Path) -> None:
    both = np.stack([ACC, OTHER]) / 8
    soundfile.write(tmp_path / "x.wav", both.T, RATE, subtype="FLOAT")
    np.save(tmp_path / "x.npy", both)
    np.savez(tmp_path / "x.npz", data=both)
    savemat(tmp_path / "x.mat", {"data": both.T})
    for name in ("x.wav", "x.npy", "x.npz", "x.mat"):
        with pytest.raises(DataError, match="2 columns that may be vibration; choose one with"):
            open_source(tmp_path / name)
        chosen = open_source(tmp_path / name, ("1",))
        assert chosen.source.n_channels == 1
        np.testing.assert_array_equal(chosen.source.read(0, N)[0], both[1])
    assert open_source(tmp_path / "x.wav", ("drive", "fan")).channels == ("drive", "fan")
    assert open_source(tmp_path / "x.npz", ("data[1]",)).channels == ("data[1]",)
    assert open_source(tmp_path / "x.npz", ("data",)).channels == ("data[0]", "data[1]")


def test_only_what_is_no_vibration_is_refused(tmp_path: Path) -> None:
    for name, column in (("temperature", 40 + OTHER), ("label", np.repeat([0, 1, 1], N // 3)), ("t", TIME)):
        path = write(tmp_path / f"{name}.csv", {name: column})
        with pytest.raises(DataError, match=f"no column that looks like vibration .{name}: "):
            open_source(path)
    assert open_source(tmp_path / "temperature.csv", ("temperature",)).channels == ("temperature",)


def test_a_dead_sensor_beside_a_time_axis_is_still_the_channel(tmp_path: Path) -> None:
    assert open_source(write(tmp_path / "x.csv", {"t": TIME, "acc": np.zeros(N)})).channels == ("acc",)


def test_a_file_without_header_is_judged_by_its_values(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.csv", np.stack([TIME, ACC], axis=1), delimiter=",", fmt="%.9g")
    opened = open_source(tmp_path / "x.csv")
    assert opened.channels == ("1",)
    assert opened.time_axis.sampling_rate_hz == RATE
    np.testing.assert_allclose(opened.source.read(0, N)[0], ACC, rtol=1e-6)


@pytest.mark.parametrize("shape", [(200, 1024), (1024, 200), (20, 30, 512), (40, 60), (10, 12)])
def test_stacked_windows_and_swapped_axes_are_not_one_recording(tmp_path: Path, shape: tuple) -> None:
    windows = RNG.standard_normal(shape)
    np.save(tmp_path / "x.npy", windows)
    np.savez(tmp_path / "x.npz", X=windows, y=np.zeros(shape[0]))
    savemat(tmp_path / "x.mat", {"X": windows})
    for name in ("x.npy", "x.npz", "x.mat"):
        for columns in ((), ("0",), ("X",)):
            with pytest.raises(DataError, match="stacked"):
                open_source(tmp_path / name, columns)


@pytest.mark.parametrize("kind", [">f8", ">i2", "<f2", "u1", "i8", "f4"])
def test_numbers_of_every_kind_keep_their_values(tmp_path: Path, kind: str) -> None:
    values = np.round(20 * ACC + 128).astype(kind)
    np.save(tmp_path / "x.npy", values)
    np.savez_compressed(tmp_path / "x.npz", x=values)
    for name in ("x.npy", "x.npz"):
        np.testing.assert_array_equal(
            open_source(tmp_path / name).source.read(0, N)[0], values.astype(np.float32)
        )


def test_what_would_lose_a_part_is_refused_by_name(tmp_path: Path) -> None:
    spectrum = ACC + 1j * OTHER
    np.save(tmp_path / "x.npy", spectrum)
    np.savez(tmp_path / "x.npz", spectrum=spectrum)
    savemat(tmp_path / "x.mat", {"spectrum": spectrum})
    for name in ("x.npy", "x.npz", "x.mat"):
        with pytest.raises(DataError, match="complex numbers"):
            open_source(tmp_path / name)
    with pytest.raises(DataError, match="complex numbers"):
        open_source(tmp_path / "x.npz", ("spectrum",))


def test_names_that_repeat_or_are_empty(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        ",a,a\n" + "\n".join(f"{n},{x},{y}" for n, (x, y) in enumerate(zip(ACC, OTHER, strict=True)))
    )
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(c) for c in (np.arange(N), ACC, OTHER)], names=["", "a", "a"]
    )
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        with pytest.raises(DataError, match=r"2 columns called 'a' \(numbers 1, 2\); choose by number"):
            open_source(tmp_path / name, ("a",))
        np.testing.assert_allclose(open_source(tmp_path / name, ("2",)).source.read(0, N)[0], OTHER)
        with pytest.raises(DataError, match="'0' was chosen as channel, but it is a row number"):
            open_source(tmp_path / name, ("0",))


def test_decimal_commas_are_found(tmp_path: Path) -> None:
    lines = [f"{value:.5f}".replace(".", ",") for value in ACC]
    (tmp_path / "one.csv").write_text("\n".join(lines))
    (tmp_path / "named.csv").write_text("acc\n" + "\n".join(lines))
    times = [f"{time:.9f}".replace(".", ",") for time in TIME]
    (tmp_path / "two.csv").write_text("t;acc\n" + "\n".join(map(";".join, zip(times, lines, strict=True))))
    (tmp_path / "tab.txt").write_text("\n".join(map("\t".join, zip(times, lines, strict=True))))
    (tmp_path / "spaces.txt").write_text("\n".join(map("   ".join, zip(times, lines, strict=True))))
    for name in ("one.csv", "named.csv", "two.csv", "tab.txt", "spaces.txt"):
        np.testing.assert_allclose(open_source(tmp_path / name).source.read(0, N)[0], ACC, atol=1e-5)


def lines_of(*columns: np.ndarray, sign: str = ",") -> str:
    return "\n".join(sign.join(f"{value:.6f}" for value in row) for row in zip(*columns, strict=True))


def test_text_that_is_not_a_table_from_its_first_line_says_what_to_leave_out(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("# logger 7\n# room 3\ntime,acc\n" + lines_of(TIME, ACC))
    with pytest.raises(DataError, match=r"begins with 2 lines of 1 columns.*\{skip_lines: 2\}"):
        open_source(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("time,acc\nclock,left\n" + lines_of(TIME, ACC))
    with pytest.raises(DataError, match=r"'acc' holds numbers with words, the first 'left' in row 1"):
        open_source(tmp_path / "x.csv")


@pytest.mark.parametrize("word", ["OVL", "--", "1,234.50", "#REF!"])
@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_a_word_in_a_channel_does_not_leave_the_other_alone(tmp_path: Path, word: str, suffix: str) -> None:
    torn = ACC.astype(str).astype("U16")
    torn[1000] = f'"{word}"' if suffix == "csv" else word
    path = write(tmp_path / f"x.{suffix}", {"DE": torn, "FE": OTHER})
    told = f"DE: numbers with words, the first {word!r} in row 1001"
    with pytest.raises(DataError, match=re.escape(told)):
        open_source(path)
    with pytest.raises(DataError, match=f"'DE' holds numbers with words, the first {re.escape(repr(word))}"):
        open_source(path, ("DE",))
    with pytest.raises(DataError, match="'DE' holds numbers with words"):
        open_source(path, preferred="DE")
    assert open_source(path, ("FE",)).channels == ("FE",)
    alone = write(tmp_path / f"y.{suffix}", {"DE": torn})
    with pytest.raises(DataError, match="'DE' holds numbers with words"):
        open_source(alone)


def test_what_the_name_says_decides_where_most_values_are_words(tmp_path: Path) -> None:
    torn = np.where(np.arange(N) % 3, "OVL", ACC.astype(str))
    path = write(tmp_path / "x.csv", {"acc_x [g]": torn, "spare": OTHER, "acc_state": np.full(N, "ok")})
    with pytest.raises(DataError, match="holds 2 columns that may be vibration"):
        open_source(path)
    codes = np.where(np.arange(N) % 50, "0", "stop")
    label = write(
        tmp_path / "y.csv", {"acc": ACC, "error": codes, "rpm": np.where(codes == "0", "1797", "x")}
    )
    assert open_source(label).channels == ("acc",)


def test_quoted_numbers_with_decimal_commas_and_western_headers(tmp_path: Path) -> None:
    rows = [f'"{t:.9f}","{a:.6f}"'.replace(".", ",") for t, a in zip(TIME, ACC, strict=True)]
    (tmp_path / "x.csv").write_bytes('"Zeit","Stärke"\n'.encode("cp1252") + "\n".join(rows).encode())
    opened = open_source(tmp_path / "x.csv")
    assert (opened.channels, opened.rate(None, "x").value) == (("Stärke",), RATE)
    np.testing.assert_allclose(opened.source.read(0, N)[0], ACC, atol=1e-6)


def test_names_of_sensors_that_hold_other_words_are_signals(tmp_path: Path) -> None:
    path = write(tmp_path / "own.mat", {"X105_DE_time": ACC, "load_side": OTHER, "motor_temp": 40 + OTHER})
    with pytest.raises(
        DataError, match=r"2 columns that may be vibration.*motor_temp: temperature by its name"
    ):
        open_source(path)
    assert open_source(path, ("X105_DE_time",)).channels == ("X105_DE_time",)


def test_a_spectrum_is_no_waveform(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", {"frequency": np.arange(N) / 2, "amplitude": np.abs(ACC)})
    with pytest.raises(DataError, match="holds a spectrum: 'frequency' rises"):
        open_source(path, ("amplitude",))


def test_rows_that_are_windows_are_no_recording(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.csv", ACC.reshape(18, 500), delimiter=",", fmt="%.5f")
    for columns in ((), ("3",)):
        with pytest.raises(DataError, match="500 columns without names: windows stacked as rows"):
            open_source(tmp_path / "x.csv", columns)


def test_a_column_of_the_speed_is_a_statement(tmp_path: Path) -> None:
    opened = open_source(write(tmp_path / "x.csv", {"acc": ACC, "shaft_rpm": 1500 + OTHER}))
    assert opened.channels == ("acc",)
    assert opened.speed.value == pytest.approx(1500, abs=1)
    seldom = np.where(np.arange(N) % 100 == 0, 1500.0, np.nan)
    assert open_source(write(tmp_path / "x.csv", {"acc": ACC, "rpm": seldom})).speed.value == 1500
    for later in (2000.0, 1000.0):
        runs = np.linspace(1500.0, later, N)
        with pytest.raises(DataError, match=r"the column 'rpm' goes from 1.*fault lines need one speed"):
            open_source(write(tmp_path / "x.csv", {"acc": ACC, "rpm": runs}))


def test_columns_that_are_numbered_in_the_first_line_lose_no_and_gain_no_sample(tmp_path: Path) -> None:
    for header, columns in (("0", [ACC]), (",0", [np.arange(N), ACC]), ("0,1", [TIME, ACC])):
        rows = zip(*[column.tolist() for column in columns], strict=True)
        text = "\n".join(",".join(map(repr, row)) for row in rows)
        (tmp_path / "x.csv").write_text(f"{header}\n{text}\n")
        np.testing.assert_array_equal(open_source(tmp_path / "x.csv").source.read(0, N)[0], ACC)
    whole = np.arange(3).tolist() + np.round(100 * ACC).astype(int).tolist()
    (tmp_path / "x.csv").write_text("\n".join(map(str, whole)))
    assert open_source(tmp_path / "x.csv").source.n_samples == N + 3


def test_a_field_that_goes_over_two_lines_is_refused(tmp_path: Path) -> None:
    lines = [f"{value!r}," for value in ACC.tolist()]
    lines[100] += '"first\nsecond"'
    (tmp_path / "x.csv").write_text("acc,remark\n" + "\n".join(lines))
    with pytest.raises(DataError, match="between quotes goes over several lines"):
        open_source(tmp_path / "x.csv")


def test_true_and_false_is_no_vibration(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.npz"):
        path = write(tmp_path / name, {"valid": OTHER > 0, "acc": ACC})
        assert open_source(path).channels == ("acc",)


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_what_another_array_holds_is_no_matter_where_one_is_chosen(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"x.{suffix}", {"acc": ACC, "spectra": RNG.standard_normal((80, 90))})
    with pytest.raises(DataError, match="stacked windows"):
        open_source(path)
    with pytest.raises(DataError, match="stacked windows"):
        open_source(path, ("spectra",))
    np.testing.assert_array_equal(open_source(path, ("acc",)).source.read(0, N)[0], ACC)


def test_a_vector_beside_cells_that_hold_the_recordings_is_not_taken_for_them(tmp_path: Path) -> None:
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = ACC, OTHER
    rows = np.zeros((1, 2), [("acc", object)])
    rows["acc"][0, 0], rows["acc"][0, 1] = ACC, OTHER
    notes = np.empty((1, 2), object)
    notes[0, 0], notes[0, 1] = "pump", np.arange(3.0)
    for hidden in ({"data": cells}, {"data": rows}, {"run": {"data": cells}}):
        savemat(tmp_path / "x.mat", {**hidden, "trigger": OTHER, "notes": notes})
        with pytest.raises(
            DataError, match=r"data\] is a cell array or a row of structures and holds arrays"
        ):
            open_source(tmp_path / "x.mat")
        assert open_source(tmp_path / "x.mat", ("trigger",)).source.n_samples == N
    savemat(tmp_path / "x.mat", {"acc": ACC, "notes": notes})
    assert open_source(tmp_path / "x.mat").channels == ("acc",)


def test_cells_of_version_7_3_are_not_passed_over_either(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.mat", "w") as file:
        file["trigger"] = OTHER[None]
        held = file.create_group("#refs#").create_dataset("a", data=ACC[None])
        cells = file.create_dataset("data", (1, 2), dtype=h5py.ref_dtype)
        cells[0, 0], cells[0, 1] = cells.ref, held.ref  # a cell that holds itself has an end too
    with pytest.raises(DataError, match=r"\[data\] is a cell array"):
        open_source(tmp_path / "x.mat")
    assert open_source(tmp_path / "x.mat", ("trigger",)).source.n_samples == N


def test_a_figure_beside_recordings_in_cells_is_not_taken_for_one(tmp_path: Path) -> None:
    rows = [ACC[at : at + 6] for at in range(0, 6000, 6)]
    level = np.abs(ACC[:1000])
    table = pyarrow.table({"signal": pyarrow.array([row.tolist() for row in rows]), "rms": level})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    lines = [f'"{row.tolist()}",{value!r}' for row, value in zip(rows, level.tolist(), strict=True)]
    (tmp_path / "x.csv").write_text("signal,rms\n" + "\n".join(lines))
    ragged = np.array([*rows, ACC[:3]], object)[:1000]
    np.savez(tmp_path / "x.npz", signal=ragged, rms=level)
    for name in ("x.parquet", "x.csv", "x.npz"):
        with pytest.raises(DataError, match=r"'signal' holds several values in one, such as .*choose it"):
            open_source(tmp_path / name)
        assert open_source(tmp_path / name, ("rms",)).source.n_samples == 1000
        with pytest.raises(DataError, match="'signal' was chosen as channel, but it is several values"):
            open_source(tmp_path / name, ("signal",))


def test_words_in_brackets_are_no_lists(tmp_path: Path) -> None:
    stamps = [f"[2024-03-01 10:00:{n // 200:02d}]" for n in range(N)]
    rows = "\n".join(f"{stamp},{x!r},(3) ok" for stamp, x in zip(stamps, ACC.tolist(), strict=True))
    (tmp_path / "x.csv").write_text("when,acc,state\n" + rows)
    assert open_source(tmp_path / "x.csv").channels == ("acc",)


def test_a_table_of_too_many_columns_is_not_read_column_by_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pyarrow.table({f"c{number}": [0.5] for number in range(1100)})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    monkeypatch.setattr("secateur.signals.sources.parquet.ParquetSource.raw", None)
    with pytest.raises(DataError, match="has 1100 columns; at most 1024"):
        look_at(tmp_path / "x.parquet")

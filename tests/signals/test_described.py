"""Files of one's own with a YAML."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import soundfile

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.kinematics import BearingGeometry, FaultOrders
from secateur.signals.readers.open import load_recordings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("t,x,y\n0,1,10\n1,2,20\n2,3,30\n")
    for number in (1, 2):
        np.save(tmp_path / f"inner_{number}.npy", np.full(100, number, np.float32))
    soundfile.write(tmp_path / "s.wav", np.zeros(64), 8000)
    return tmp_path


def describe(folder: Path, text: str) -> Path:
    (folder / "recordings.yaml").write_text(dedent(text))
    return folder


def test_every_field_arrives(folder: Path) -> None:
    describe(
        folder,
        """
        dataset: pump
        sampling_rate_hz: 25600
        bearing: 6205
        labels: {healthy: normal}
        recordings:
          - file: a.csv
            label: healthy
            group: bearing A
            columns: [y, x]
            speed_rpm: 1490
            nominal_speed_rpm: 1500
            load: 3.5
            subset: summer
            notes: new grease
            bearing: {n_balls: 9, ball_diameter_mm: 8, pitch_diameter_mm: 40}
          - file: inner_*.npy
            label: inner_race
            sampling_rate_hz: 12800
            fault_size_mil: 7
          - {file: inner_1.npy.txt.csv, label: ball}
        """,
    )
    (folder / "inner_1.npy.txt.csv").write_text("1\n2\n")
    first, *inner, last = load_recordings(folder)
    np.testing.assert_array_equal(first.read(), [[10, 20, 30], [1, 2, 3]])
    assert (first.recording_id, first.group_id, first.channels) == ("a", "bearing A", ("y", "x"))
    assert (first.sampling_rate_hz, first.fault_location, first.dataset) == (25_600.0, "normal", "pump")
    assert (first.shaft_speed_rpm, first.nominal_speed_rpm, first.load) == (1490.0, 1500.0, 3.5)
    assert (first.subset, first.notes) == ("summer", "new grease")
    geometry = BearingGeometry(designation="", n_balls=9, ball_diameter_mm=8, pitch_diameter_mm=40)
    assert first.fault_orders == geometry.orders
    assert [(r.recording_id, r.group_id, r.sampling_rate_hz) for r in inner] == [
        ("inner_1", "inner_1", 12_800.0), ("inner_2", "inner_2", 12_800.0),
    ]  # fmt: skip
    assert inner[1].read(5, 7).tolist() == [[2.0, 2.0]]
    assert inner[0].fault_orders == known_bearing("6205")
    assert inner[0].shaft_speed_rpm is None
    assert last.recording_id == "inner_1.npy.txt"


def test_multipliers_and_the_rate_of_a_wav_and_a_yaml_of_any_name(folder: Path) -> None:
    path = folder / "mine.yml"
    path.write_text("dataset: p\nbearing: {bpfo: 3.05, bpfi: 4.95}\nrecordings: [{file: s.wav}]\n")
    (recording,) = load_recordings(path)
    assert recording.sampling_rate_hz == 8000.0
    assert recording.fault_location is None
    assert recording.fault_orders == FaultOrders.from_multipliers(bpfo=3.05, bpfi=4.95)


def test_how_numbers_are_written(folder: Path) -> None:
    (folder / "de.csv").write_text("Messung 1\na;b\n1,5;2\n-0,5;3\n")
    path = folder / "de.yaml"
    path.write_text(
        "dataset: p\nsampling_rate_hz: 5\ntext: {decimal: ',', skip_lines: 1}\ncolumns: [b, a]\nrecordings: "
        "[{file: de.csv}]"
    )
    (recording,) = load_recordings(path)
    assert recording.read().tolist() == [[2.0, 3.0], [1.5, -0.5]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "dataset: p\nrecordings: [{file: a.csv, columns: [x]}]",
            r"'a.csv'\): no sampling rate. Add 'sampling_rate_hz:",
        ),
        ("recordings: [{file: a.csv, columns: [x]}]", "dataset: field required"),
        ("dataset: p\nrecordings: []", "recordings: "),
        (
            "dataset: p\nrate: 5\nrecordings: [{file: a.csv, columns: [x]}]",
            "rate: unknown key; allowed: dataset",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: a.csv, lable: x}]",
            r"recording 1, lable: unknown key; allowed: file, label",
        ),
        (
            "dataset: p\nsampling_rate_hz: -5\nrecordings: [{file: a.csv, columns: [x]}]",
            "sampling_rate_hz: .*greater",
        ),
        (
            "dataset: p\nsampling_rate_hz: fast\nrecordings: [{file: a.csv, columns: [x]}]",
            "sampling_rate_hz: .*number",
        ),
        (
            "dataset: p\nsampling_rate_hz: .nan\nrecordings: [{file: a.csv, columns: [x]}]",
            "sampling_rate_hz: ",
        ),
        ("dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: z.csv}]", "z.csv is missing"),
        ("dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: 'z*.csv'}]", "matches the pattern"),
        (
            "dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: a.csv, columns: [x]}, "
            "{file: a.csv, columns: [x]}]",
            "described twice",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: a.csv, columns: [x], label: cracked}]",
            "label 'cracked'; allowed: normal, inner_race, outer_race, ball",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nlabels: {ok: fine}\nrecordings: "
            "[{file: a.csv, columns: [x], label: ok}]",
            "label 'fine'",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nbearing: zz9\nrecordings: [{file: a.csv, columns: [x]}]",
            "bearing 'zz9'",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nbearing: {n_balls: 9}\nrecordings: "
            "[{file: a.csv, columns: [x]}]",
            "ball_diameter_mm: field required",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nrecordings: [{file: a.csv, columns: [v]}]",
            "no column 'v'; it has: t, x, y",
        ),
        ("dataset: p\nsampling_rate_hz: 9000\nrecordings: [{file: s.wav}]", "9000 Hz and .* 8000 Hz"),
        (
            "dataset: p\nsampling_rate_hz: 5\ntext: {sep: ';'}\nrecordings: [{file: a.csv, columns: [x]}]",
            "text.sep: unknown key; allowed: delimiter, decimal, skip_lines",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nlabels: {yes: normal}\nrecordings: "
            "[{file: a.csv, columns: [x], label: yes, group: 3}]",
            "recording 1, label: True is no text; put it in quotes.*recording 1, group: 3 is no text.*"
            "labels.*: True is no text",
        ),
        (
            "dataset: p\nsampling_rate_hz: 5\nrecordings:\n" + "- {file: a.csv, group: 3}\n" * 9,
            r"recording 6, group: 3 is no text[^;]*;[^;]*; and 3 more\.$",
        ),
        ("dataset: [", "is not YAML"),
        ("just words", "holds no keys with values; a description begins with 'dataset: NAME'"),
        ("", "holds no keys with values"),
        (
            "dataset: p\nrecordings: [{file: s.wav, speed_rpm: yes}]",
            "1, speed_rpm: yes is no number",
        ),
        ("dataset: p\nrecordings: [{file: s.wav, speed_rpm: 25:00}]", "speed_rpm: .* a valid number"),
        (
            "dataset: p\nrecordings: [{file: s.wav, group: ' '}]",
            "1, group: .* at least 1 character",
        ),
        (
            "dataset: p\nrecordings: [{file: s.wav, bearing: {bpfo: 5.4, bpfi: 3.6}}]",
            r"recording 1 \('s.wav'\): multipliers bpfo=5.4",
        ),
    ],
)
def test_faults_are_told_in_full(folder: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_recordings(describe(folder, text))


def test_files_that_differ_in_their_ending_alone_are_two_recordings(folder: Path) -> None:
    for name in ("s.npy", "s.wav", "2004.02.12.10.32.39", "2004.02.12.10.42.39"):
        if name != "s.wav":
            (folder / name).write_text("1\n2\n")
    np.save(folder / "s.npy", np.zeros(100))
    text = "dataset: p\nsampling_rate_hz: 8000\nrecordings: [{file: 's.*'}, {file: '2004*'}]\n"
    assert [recording.recording_id for recording in load_recordings(describe(folder, text))] == [
        "s.npy", "s.wav", "2004.02.12.10.32.39", "2004.02.12.10.42.39",
    ]  # fmt: skip


def test_numbers_and_names_are_taken_as_they_are_written(folder: Path) -> None:
    entry = "{file: s.wav, speed_rpm: 01500, group: 007, label: ' normal', notes: 2024-03-01, position: 6:00}"
    (recording,) = load_recordings(describe(folder, f"dataset: p\nrecordings: [{entry}]\n"))
    assert (recording.shaft_speed_rpm, recording.group_id) == (1500.0, "007")
    assert (recording.fault_location, recording.notes, recording.position) == ("normal", "2024-03-01", "6:00")


def test_a_unit_that_the_column_contradicts_is_refused_and_other_spellings_pass(tmp_path: Path) -> None:
    rows = "\n".join(f"{value:.6f}" for value in np.random.default_rng(0).standard_normal(500))
    (tmp_path / "a.csv").write_text(f"acc [m/s²]\n{rows}\n", encoding="utf-8")
    text = "dataset: pump\nsampling_rate_hz: 12000\nunit: {}\nrecordings: [{{file: a.csv}}]\n"
    with pytest.raises(DataError, match="the description says 'g' and the file 'm/s²'"):
        load_recordings(describe(tmp_path, text.format("g")))
    (recording,) = load_recordings(describe(tmp_path, text.format("m/s2")))
    assert recording.unit == "m/s2"

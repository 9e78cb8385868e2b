"""The archive layout, on a small made-up archive and on the real ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.core.files import sha256_of
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.archive import load_archive
from secateur.signals.readers.cwru import cwru_files
from secateur.signals.readers.open import load_recordings

ROW = {
    "recording_id": "r1", "dataset": "MINE", "subset": "a", "file": "recordings/r1.npz", "channels": "DE|FE",
    "sampling_rate_hz": "12000", "rpm": "1790", "rpm_nominal": "1800", "load_hp": "2", "fault_type": "ball",
    "fault_diameter_mil": "7", "severity": "", "outer_race_position": "", "bearing": "6205",
    "group_id": "g1", "sha256": "", "notes": "a note",
}  # fmt: skip


def make_archive(folder: Path, **changes: str) -> Path:
    (folder / "recordings").mkdir(parents=True)
    codes = np.arange(-500, 500, dtype=np.int16)
    path = folder / "recordings" / "r1.npz"
    np.savez_compressed(path, DE=codes, scale_DE=0.5, FE=codes, scale_FE=2.0, sampling_rate_hz=12_000.0)
    row = {**ROW, "sha256": sha256_of(path), **changes}
    with (folder / "recordings.csv").open("w", newline="") as lines:
        table = csv.DictWriter(lines, row)
        table.writeheader()
        table.writerow(row)
    return folder


def test_every_field_arrives(tmp_path: Path) -> None:
    (recording,) = load_recordings(make_archive(tmp_path / "a"))
    np.testing.assert_array_equal(recording.read(0, 2), [[-250.0, -249.5], [-1000.0, -998.0]])
    assert (recording.dataset, recording.subset, recording.notes) == ("MINE", "a", "a note")
    assert (recording.channels, recording.sampling_rate_hz) == (("DE", "FE"), 12_000.0)
    assert (recording.shaft_speed_rpm, recording.nominal_speed_rpm) == (1790.0, 1800.0)
    assert (recording.load, recording.fault_size_mil, recording.fault_location) == (2.0, 7.0, "ball")
    assert (recording.severity, recording.position) == (None, None)
    assert recording.fault_orders == known_bearing("6205")
    assert recording.sha256 == sha256_of(recording.path)


def test_an_unknown_bearing_is_quoted_and_not_dropped(tmp_path: Path) -> None:
    (recording,) = load_recordings(make_archive(tmp_path / "a", bearing="some roller 77", rpm=""))
    assert recording.fault_orders is None
    assert recording.shaft_speed_rpm is None
    (finding,) = recording.findings
    assert (finding.severity, finding.code, finding.subject) == ("warning", "unknown_bearing", "r1")
    assert "'some roller 77'; nearest in the catalogue" in finding.message


def test_a_column_of_another_name_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "a", rpm_estimated="1", speed_rpm="1790")
    (finding,) = load_recordings(folder)[0].findings
    assert (finding.severity, finding.code) == ("warning", "column_not_read")
    assert "columns speed_rpm are not read; allowed: recording_id" in finding.message


def test_groups_of_sets_that_document_no_specimens_are_recordings(tmp_path: Path) -> None:
    (documented,) = load_recordings(make_archive(tmp_path / "a"))
    (uestc,) = load_recordings(make_archive(tmp_path / "b", dataset="UESTC"))
    assert documented.specimens_documented
    assert not uestc.specimens_documented


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fault_type": "cage"}, r"line 2 \(r1\).*'cage'; allowed: normal"),
        ({"sampling_rate_hz": ""}, r"line 2 \(r1\)"),
        ({"rpm": "fast"}, r"line 2 \(r1\).*fast"),
        ({"rpm": "1797 rpm"}, r"line 2 \(r1\): column rpm: '1797 rpm' is not a number"),
        ({"rpm": "nan"}, r"line 2 \(r1\).*shaft speed nan rpm; it must be positive and finite"),
        ({"rpm": "-1797"}, r"shaft speed -1797.0 rpm; it must be positive"),
        ({"load_hp": "inf"}, r"load inf; it must be a finite number"),
        ({"fault_diameter_mil": "-7"}, r"fault size -7.0 mil; it must be positive"),
        ({"sampling_rate_hz": "inf"}, r"sampling rate inf Hz; it must be positive"),
        ({"sampling_rate_hz": "0"}, r"must be positive"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_recordings(make_archive(tmp_path / "a", **changes))


def test_a_missing_column_and_a_missing_file_are_named(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "a")
    (folder / "recordings" / "r1.npz").unlink()
    with pytest.raises(DataError, match=r"1 of 1 files are missing, first .*r1.npz"):
        load_recordings(folder)
    (folder / "recordings.csv").write_text("recording_id,file\n")
    with pytest.raises(DataError, match=r"no column dataset, channels"):
        load_recordings(folder)


def test_a_folder_of_archives_gives_all_of_them(tmp_path: Path) -> None:
    make_archive(tmp_path / "a")
    make_archive(tmp_path / "b", recording_id="r2", dataset="OTHER")
    assert [recording.dataset for recording in load_recordings(tmp_path)] == ["MINE", "OTHER"]


@pytest.mark.data
def test_cwru(cwru_dir: Path) -> None:
    recordings = load_archive(cwru_dir)
    assert len(recordings) == 77
    counts = dict.fromkeys(("12k_drive_end", "48k_drive_end", "normal_48k", "normal_12k_derived"), 0)
    for recording in recordings:
        counts[recording.subset] += 1
        thick = recording.fault_size_mil == 28
        assert recording.fault_orders == known_bearing("NTN-6205-equivalent" if thick else "6205")
        assert recording.channels[0] == "DE"
    assert list(counts.values()) == [60, 13, 2, 2]
    with np.load(recordings[0].path) as stored:
        expected = stored["DE"][500:600] * np.float32(stored["scale_DE"])
    np.testing.assert_array_equal(recordings[0].read(500, 600)[0], expected)


@pytest.mark.data
def test_the_table_of_original_files_agrees_with_the_archive(cwru_dir: Path) -> None:
    compared = 0
    for recording in load_archive(cwru_dir):
        number = recording.recording_id.rpartition("_")[2]
        if not number.isdigit() or recording.subset == "normal_12k_derived":
            continue
        file = cwru_files()[int(number)]
        assert file.recording_id == recording.recording_id
        assert file.group_id == recording.group_id
        assert file.position == recording.position
        for name in ("subset", "sampling_rate_hz", "fault_location", "fault_size_mil", "load"):
            assert getattr(file, name) == getattr(recording, name), recording.recording_id
        assert file.nominal_speed_rpm == recording.nominal_speed_rpm
        assert known_bearing(file.bearing) == recording.fault_orders
        compared += 1
    assert compared == 74


@pytest.mark.data
def test_uestc_speeds_are_nominal_never_estimated(uestc_dir: Path) -> None:
    recordings = load_archive(uestc_dir)
    assert len(recordings) == 80
    assert {recording.shaft_speed_rpm for recording in recordings} == {800.0, 1000.0, 1200.0, 1400.0}
    assert all(recording.fault_orders == known_bearing("UC204") for recording in recordings)
    assert len({recording.group_id for recording in recordings}) == 16

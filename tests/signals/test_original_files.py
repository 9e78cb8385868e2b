"""Readers of files as their makers publish them, on made-up files of the same form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.readers.cwru import cwru_files, file_number
from secateur.signals.readers.open import load_recordings

RNG = np.random.default_rng(3)


def series(n: int = 500) -> np.ndarray:
    return RNG.standard_normal((n, 1))


def test_cwru_numeric_names_with_speed_and_channels(tmp_path: Path) -> None:
    drive, fan, base = series(), series(), series()
    savemat(
        tmp_path / "105.mat",
        {"X105_DE_time": drive, "X105_FE_time": fan, "X105_BA_time": base, "X105RPM": [[1797]]},
    )
    savemat(tmp_path / "97.mat", {"X097_DE_time": series(), "X097_FE_time": series(), "X097RPM": [[1796]]})
    normal, inner = load_recordings(tmp_path)
    assert (normal.recording_id, normal.sampling_rate_hz) == ("cwru_normal_48k_0hp_97", 48_000.0)
    assert (normal.group_id, normal.fault_location) == ("cwru_normal", "normal")
    assert normal.channels == ("DE", "FE")
    assert normal.shaft_speed_rpm == 1796.0
    assert (inner.recording_id, inner.sampling_rate_hz) == ("cwru_12k_drive_end_ir007_0hp_105", 12_000.0)
    assert (inner.channels, inner.fault_size_mil, inner.load) == (("DE", "FE", "BA"), 7.0, 0.0)
    np.testing.assert_array_equal(inner.read(), np.hstack([drive, fan, base]).T.astype(np.float32))


def test_cwru_99_does_not_give_the_copy_of_98(tmp_path: Path) -> None:
    own = series()
    savemat(tmp_path / "99.mat", {"X098_DE_time": series(), "X098_FE_time": series(), "X099_DE_time": own})
    (recording,) = load_recordings(tmp_path)
    np.testing.assert_array_equal(recording.read()[0], own[:, 0].astype(np.float32))
    assert (recording.load, recording.channels) == (2.0, ("DE",))


def test_cwru_174_is_named_after_173_whatever_strays_beside_it(tmp_path: Path) -> None:
    own = series()
    savemat(tmp_path / "174.mat", {"X173_DE_time": own, "X217_DE_time": series(), "X173RPM": [[1796]]})
    (recording,) = load_recordings(tmp_path)
    np.testing.assert_array_equal(recording.read()[0], own[:, 0].astype(np.float32))
    assert (recording.recording_id, recording.shaft_speed_rpm) == (
        "cwru_48k_drive_end_ir014_0hp_174", 1796.0,
    )  # fmt: skip


def test_cwru_28_mil_files_are_the_ntn_bearing_at_nominal_speed(tmp_path: Path) -> None:
    savemat(tmp_path / "3003.mat", {"X050_DE_time": series()})
    (recording,) = load_recordings(tmp_path)
    assert recording.fault_orders == known_bearing("NTN-6205-equivalent")
    assert (recording.shaft_speed_rpm, recording.notes) == (1750.0, "no speed in the file; nominal speed")


def test_cwru_fan_end_files_lead_with_the_fan_end_sensor(tmp_path: Path) -> None:
    savemat(tmp_path / "309.mat", {"X309_DE_time": series(), "X309_FE_time": series()})
    (recording,) = load_recordings(tmp_path)
    assert (recording.channels, recording.group_id) == (("FE", "DE"), "cwru_fe_or014_at3")
    assert (recording.load, recording.position) == (1.0, "3:00")
    assert recording.fault_orders == known_bearing("6203")


@pytest.mark.parametrize(
    "name", ["118.mat", "12k_Drive_End_B007_0_118.mat", "B007_0.mat", "drive/ball/B007_0.mat"]
)
def test_cwru_numbers_from_names_and_variables(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"X118_DE_time": series()})
    assert file_number(path) == 118
    assert load_recordings(tmp_path)[0].group_id == "cwru_de_b007"


def test_cwru_doubles_and_unknown_series_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "105.mat", {"X108_DE_time": series(), "X106_DE_time": series()})
    with pytest.raises(DataError, match=r"series \[106, 108\]; X105_DE_time was expected"):
        load_recordings(tmp_path)
    savemat(tmp_path / "105.mat", {"X105_DE_time": series()})
    savemat(tmp_path / "copy_105.mat", {"X105_DE_time": series()})
    with pytest.raises(DataError, match="both file 105"):
        load_recordings(tmp_path)


def test_cwru_table_is_complete() -> None:
    files = cwru_files().values()
    counts = {subset: sum(file.subset == subset for file in files) for subset in {f.subset for f in files}}
    assert counts == {"normal_48k": 4, "12k_drive_end": 60, "48k_drive_end": 52, "12k_fan_end": 45}
    assert len({file.recording_id for file in files}) == 161


def test_jnu_class_and_speed_come_from_the_name(tmp_path: Path) -> None:
    names = {
        "ib600_2": "inner_race", "n1000_3_2": "normal", "ob800_2": "outer_race", "tb1000_2": "ball",
    }  # fmt: skip
    for value, name in enumerate(names):
        (tmp_path / f"{name}.csv").write_text(f"{value}.25\n0.5\n")
    (tmp_path / "readme.csv").write_text("a,b\n1,2\n")
    recordings = load_recordings(tmp_path)
    assert {r.path.stem: r.fault_location for r in recordings} == names
    assert {r.path.stem: r.shaft_speed_rpm for r in recordings} == {
        "ib600_2": 600.0, "n1000_3_2": 1000.0, "ob800_2": 800.0, "tb1000_2": 1000.0,
    }  # fmt: skip
    assert {r.sampling_rate_hz for r in recordings} == {50_000.0}
    assert {r.fault_orders for r in recordings} == {None}
    assert recordings[0].read().tolist() == [[0.25, 0.5]]
    assert len({r.group_id for r in recordings}) == 4


def test_uestc_pieces_of_one_recording_are_one_group(tmp_path: Path) -> None:
    for name in ("B_1000_1", "B_1000_2", "O_800_1"):
        (tmp_path / name[:-2]).mkdir(exist_ok=True)
        savemat(tmp_path / name[:-2] / f"{name}.mat", {"Data": series(), "SampleFrequency": [[20000]]})
    recordings = load_recordings(tmp_path)
    assert [r.group_id for r in recordings] == ["uestc_b_1000", "uestc_b_1000", "uestc_o_800"]
    assert [r.recording_id for r in recordings] == ["uestc_b_1000_1", "uestc_b_1000_2", "uestc_o_800_1"]
    assert [r.fault_location for r in recordings] == ["ball", "ball", "outer_race"]
    assert (recordings[0].sampling_rate_hz, recordings[2].shaft_speed_rpm) == (20_000.0, 800.0)
    assert recordings[0].n_samples == 500


def test_mfpt_structures(tmp_path: Path) -> None:
    samples = series()
    files = {
        "1 - Three Baseline Conditions/baseline_1": (97_656.0, 270.0, "normal"),
        "3 - Seven More Outer Race Fault Conditions/OuterRaceFault_vload_1": (48_828.0, 25.0, "outer_race"),
        "4 - Seven Inner Race Fault Conditions/InnerRaceFault_vload_1": (48_828.0, 0.0, "inner_race"),
    }
    for name, (rate_hz, load, _) in files.items():
        path = tmp_path / f"{name}.mat"
        path.parent.mkdir()
        savemat(path, {"bearing": {"sr": rate_hz, "gs": samples, "load": load, "rate": 25}})
    savemat(tmp_path / "OilPumpShaft.mat", {"bearing": {"gs": samples}})
    recordings = load_recordings(tmp_path)
    found = [(r.sampling_rate_hz, r.load, r.fault_location) for r in recordings]
    assert found == list(files.values())
    assert {r.shaft_speed_rpm for r in recordings} == {1500.0}
    assert not any(recording.specimens_documented for recording in recordings)
    # 81.125 and 118.875 Hz at 25 Hz, as the data set's description gives them
    orders = recordings[0].fault_orders
    assert 25 * orders.bpfo == pytest.approx(81.125, abs=0.01)
    assert 25 * orders.bpfi == pytest.approx(118.875, abs=0.01)
    np.testing.assert_array_equal(recordings[1].read(2, 9)[0], samples[2:9, 0].astype(np.float32))


def test_an_incomplete_mfpt_structure_is_named(tmp_path: Path) -> None:
    savemat(tmp_path / "baseline_1.mat", {"bearing": {"gs": series(), "load": 270, "rate": 25}})
    with pytest.raises(DataError, match="no field 'sr'"):
        load_recordings(tmp_path)


def test_unknown_layouts_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_recordings(tmp_path / "nowhere")
    savemat(tmp_path / "other.mat", {"y": series()})
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"(?s)no known layout.*archive:.*described:.*mfpt:.*jnu:.*cwru:"):
        load_recordings(tmp_path)
    with pytest.raises(DataError, match="no known layout"):
        load_recordings(tmp_path / "notes.txt")

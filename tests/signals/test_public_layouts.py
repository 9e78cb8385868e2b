"""Readers of further public sets and formats, on made-up files of the same form."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from scipy.io import savemat

from secateur.core.errors import ConfigError, DataError
from secateur.signals.readers.open import known_layout, load_recordings
from secateur.signals.sources.open import open_source

RNG = np.random.default_rng(5)
N = 6000
ACC, OTHER = RNG.standard_normal((2, N))


def paderborn(path: Path, vibration: np.ndarray) -> None:
    channels = {
        "force": 1000 + RNG.standard_normal(N // 16),
        "phase_current_1": RNG.standard_normal(N),
        "speed": 1500 + RNG.standard_normal(N // 16),
        "temp_2_bearing_module": np.full(2, 45.0),
        "vibration_1": vibration,
    }
    entries = np.zeros((1, len(channels)), dtype=[("Name", object), ("Type", object), ("Data", object)])
    for number, (name, data) in enumerate(channels.items()):
        entries[0, number] = (name, "numeric", data[None])
    savemat(path, {path.stem: {"Info": {"x": "y"}, "Y": entries}})


def test_paderborn(tmp_path: Path) -> None:
    for name in ("N15_M07_F10_KA04_1", "N09_M07_F10_K001_2", "N15_M01_F10_KB23_3", "N15_M07_F04_KI01_3"):
        paderborn(tmp_path / f"{name}.mat", ACC)
    healthy, both, inner, outer = load_recordings(tmp_path)
    np.testing.assert_array_equal(outer.read()[0], ACC.astype(np.float32))
    assert (outer.sampling_rate_hz, outer.shaft_speed_rpm, outer.load) == (64_000, 1500, 1000)
    assert (outer.fault_location, outer.severity, outer.group_id) == (
        "outer_race",
        "real damage",
        "paderborn_KA04",
    )
    assert (healthy.fault_location, healthy.shaft_speed_rpm) == ("normal", 900)
    assert (both.fault_location, inner.fault_location) == (None, "inner_race")
    # 8 balls of 6.75 mm: N / 2 (1 - d / D) by hand for both makers
    assert inner.fault_orders.bpfo == pytest.approx(4 * (1 - 6.75 / 29.05))
    assert outer.fault_orders.bpfo == pytest.approx(4 * (1 - 6.75 / 28.55))
    opened = open_source(tmp_path / "N15_M07_F10_KA04_1.mat")
    assert opened.channels == ("N15_M07_F10_KA04_1.Y.vibration_1",)


def test_ims_snapshots_have_no_ending(tmp_path: Path) -> None:
    for test, columns in (("1st_test", 8), ("2nd_test", 4)):
        (tmp_path / test).mkdir()
        values = RNG.standard_normal((20_480, columns)).round(3)
        np.savetxt(tmp_path / test / "2003.10.22.12.06.24", values, delimiter="\t", fmt="%.3f")
    first, second = load_recordings(tmp_path)
    assert first.channels[:3] == ("bearing1_x", "bearing1_y", "bearing2_x")
    assert second.channels == ("bearing1", "bearing2", "bearing3", "bearing4")
    np.testing.assert_allclose(second.read(), values.T.astype(np.float32))
    assert (second.sampling_rate_hz, second.shaft_speed_rpm, second.fault_location) == (20_000, 2000, None)
    assert second.fault_orders.bpfo == pytest.approx(7.0921, abs=1e-3)
    (alone,) = load_recordings(tmp_path / "2nd_test" / "2003.10.22.12.06.24")
    assert alone.group_id == "ims_2nd_test"
    np.savetxt(tmp_path / "2nd_test" / "2003.10.22.12.16.24", values[:9000], delimiter="\t", fmt="%.3f")
    with pytest.raises(DataError, match="has 9000 rows and 4 columns; an IMS snapshot has 20480 rows"):
        load_recordings(tmp_path)
    np.savetxt(tmp_path / "2024.01.01.00.00.00", values[:9000], delimiter="\t", fmt="%.3f")
    assert known_layout(tmp_path / "2024.01.01.00.00.00") is None


def built_set(folder: Path, **more: list) -> dict[str, np.ndarray]:
    """Write a set as the package bearing-datasets does: signals as lists, one metadata row a signal."""
    signals = {"a/DE": ACC, "a/FE": OTHER, "a/current": ACC, "b/DE": 2 * ACC, "b/FE": OTHER[:10]}
    (folder / "signals").mkdir(parents=True)
    names = list(signals)
    for part, chosen in enumerate((names[:2], names[2:])):
        lists = pyarrow.array([signals[name] for name in chosen])
        table = pyarrow.table({"signal_id": chosen, "signal": lists})
        pyarrow.parquet.write_table(table, folder / "signals" / f"part-{part}.parquet")
    rows = {
        "dataset": ["rig"] * 5,
        "signal_id": names,
        "recording_id": [name[0] for name in names],
        "channel": [name[2:] for name in names],
        "fs": [12_000] * 5,
        "n_samples": [len(signal) for signal in signals.values()],
        "fault_type": ["inner"] * 3 + ["inner+outer"] * 2,
        "fault_size_mm": [0.3556] * 5,
        "quantity": ["acceleration", "acceleration", "current", "acceleration", "acceleration"],
        "unit": ["g", "g", "A", "g", "g"],
        "speed_rpm": [1797.0, 1797.0, 1797.0, float("nan"), float("nan")],
        "bearing_id": ["IR014"] * 5,
        "bpfo": [3.585] * 5,
        "bpfi": [5.415] * 5,
        "bsf": [2.357] * 5,
        "ftf": [0.398] * 5,
        "signal_file": ["part-0.parquet"] * 2 + ["part-1.parquet"] * 3,
        "signal_row_group": [0] * 5,
        "signal_row": [0, 1, 0, 1, 2],
        **more,
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "metadata.parquet")
    return signals


def test_sets_of_the_bearing_datasets_package(tmp_path: Path) -> None:
    signals = built_set(tmp_path / "rig")
    assert known_layout(tmp_path / "rig").name == "bearing-datasets"
    for path in (tmp_path / "rig", tmp_path):
        a, b, short = load_recordings(path)
        assert (a.recording_id, b.recording_id, a.channels) == ("rig_a", "rig_b_12000Hz", ("DE", "FE"))
        np.testing.assert_array_equal(
            a.read(100, 5000), np.float32([signals["a/DE"], signals["a/FE"]])[:, 100:5000]
        )
        np.testing.assert_array_equal(b.read()[0], signals["b/DE"].astype(np.float32))
        assert short.n_samples == 10
    assert (a.fault_location, a.fault_size_mil, a.group_id, a.unit) == ("inner_race", 14.0, "rig_IR014", "g")
    assert (a.shaft_speed_rpm, b.shaft_speed_rpm) == (1797, None)
    assert (b.fault_location, b.notes) == (None, "fault: inner+outer (no label of its own)")
    assert a.fault_orders.bsf2 == pytest.approx(4.714)
    assert a.specimens_documented


def test_a_built_set_whose_parts_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    cases = {
        "swapped": ({"signal_row": [1, 0, 0, 1, 2]}, "does not hold a/DE where its metadata say"),
        "longer": ({"n_samples": [N + 1, N + 1, N, N, 10]}, "holds 6000 samples of a/DE"),
        "gone": ({"signal_file": ["part-9.parquet"] * 5}, "missing"),
        "outside": ({"signal_file": ["../x.parquet"] * 5}, "lies outside"),
        "none": ({"quantity": ["current"] * 5}, "lists no channel of acceleration"),
        "row": ({"signal_row_group": [7] * 5}, "row group 7, cannot be read"),
    }
    for name, (change, said) in cases.items():
        built_set(tmp_path / name, **change)
        with pytest.raises(DataError, match=said):
            load_recordings(tmp_path / name)[0].read(0, 10)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_matlab_73(tmp_path: Path, compression: str | None) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "x.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("acc", data=ACC[None], compression=compression).attrs["MATLAB_class"] = b"double"
        file.create_dataset("fs", data=[[25_600.0]]).attrs["MATLAB_class"] = b"double"
        run = file.create_group("run")
        run.attrs["MATLAB_class"] = b"struct"
        run.create_dataset("time", data=np.arange(N)[None] / 25_600).attrs["MATLAB_class"] = b"double"
        file.create_dataset("name", data=np.frombuffer(b"p\0u\0", "<u2")).attrs["MATLAB_class"] = b"char"
        file.create_group("#refs#")
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + content[128:])
    opened = open_source(path)
    assert opened.channels == ("acc",)
    assert opened.rate(None, "x").value == 25_600
    assert opened.time_axis.sampling_rate_hz == 25_600
    np.testing.assert_array_equal(opened.source.read(10, 20)[0], ACC[10:20].astype(np.float32))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"not a whole MATLAB 7\.3 file"):
        open_source(path)


def test_tdms(tmp_path: Path) -> None:
    nptdms = pytest.importorskip("nptdms")
    times = {"wf_increment": 1 / 25_600, "wf_start_offset": 0.0}
    with nptdms.TdmsWriter(tmp_path / "x.tdms") as writer:
        for start in (0, N // 2):
            stop = start + N // 2
            writer.write_segment(
                [
                    nptdms.ChannelObject("run", "acc", ACC[start:stop], properties=times),
                    nptdms.ChannelObject("run", "Temperature", 40 + 0 * OTHER[start:stop], properties=times),
                ]
            )
    opened = open_source(tmp_path / "x.tdms")
    assert (opened.channels, opened.rate(None, "x").value) == (("acc",), pytest.approx(25_600))
    np.testing.assert_array_equal(opened.source.read(2990, 3010)[0], ACC[2990:3010].astype(np.float32))
    (tmp_path / "x.tdms").write_bytes(b"TDSm" + bytes(40))
    with pytest.raises(DataError, match=r"x\.tdms"):
        open_source(tmp_path / "x.tdms")


def test_universal_files(tmp_path: Path) -> None:
    pyuff = pytest.importorskip("pyuff")
    words = ("id1", "id2", "id3", "id4", "id5", "rsp_ent_name", "ref_ent_name", "abscissa_axis_units_lab")
    numbers = ("ver_num", "load_case_id", "ref_node", "ref_dir", "z_axis_value")
    axes = ("abscissa", "ordinate", "orddenom", "z_axis")
    kinds = ("spec_data_type", "len_unit_exp", "force_unit_exp", "temp_unit_exp")
    common = {
        **dict.fromkeys(words, "NONE"),
        **dict.fromkeys(numbers, 0),
        **{f"{axis}_{kind}": 0 for axis in axes for kind in kinds},
        **{f"{axis}_axis_units_lab": "g" for axis in axes},
        **{"type": 58, "binary": 0, "func_type": 1, "ord_data_type": 4, "num_pts": N, "rsp_dir": 3},
        **{
            "abscissa_spacing": 1,
            "abscissa_min": 0.0,
            "abscissa_inc": 1 / 25_600,
            "x": np.arange(N) / 25_600,
        },
    }
    for node, data in ((1, ACC), (2, OTHER)):
        pyuff.UFF(str(tmp_path / "x.uff")).write_sets({**common, "rsp_node": node, "data": data}, "add")
    opened = open_source(tmp_path / "x.uff", ("2 z+",))
    assert opened.rate(None, "x").value == pytest.approx(25_600, rel=1e-5)
    np.testing.assert_allclose(opened.source.read(0, N)[0], OTHER, rtol=1e-4)
    with pytest.raises(DataError, match=r"2 columns that may be vibration.*1 z\+: .*2 z\+"):
        open_source(tmp_path / "x.uff")
    (tmp_path / "x.uff").write_text("    -1\n    58\nno such thing\n    -1\n")
    with pytest.raises(DataError, match=r"x\.uff"):
        open_source(tmp_path / "x.uff")


def test_without_the_package_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(name: str, *more: object) -> object:
        if name.partition(".")[0] in ("h5py", "nptdms", "pyuff"):
            raise ModuleNotFoundError(name)
        return original(name, *more)

    original = builtins.__import__
    monkeypatch.setattr("secateur.signals.sources.extras.import_module", lambda name: imported(name))
    (tmp_path / "x.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    for name in ("x.mat", "x.tdms", "x.uff"):
        (tmp_path / name).touch()
        with pytest.raises(ConfigError, match=r"pip install 'secateur\[formats\]'"):
            open_source(tmp_path / name)


def test_a_name_alone_makes_no_file_one_of_jnu(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "ob1000_1.csv", ACC)
    assert known_layout(tmp_path / "ob1000_1.csv").name == "jnu"
    rows = np.stack([np.arange(N) / 25_600, ACC], axis=1)
    np.savetxt(tmp_path / "ob1000_2.csv", rows, delimiter=",", header="time_s,acc", comments="")
    np.savetxt(tmp_path / "ob1000_3.csv", ACC, header="acc", comments="")
    for name in ("ob1000_2.csv", "ob1000_3.csv"):
        assert known_layout(tmp_path / name) is None
    assert [recording.recording_id for recording in load_recordings(tmp_path)] == ["jnu_ob1000_1"]
    assert open_source(tmp_path / "ob1000_2.csv").rate(None, "x").value == 25_600


@pytest.mark.parametrize(
    ("name", "variables", "said"),
    [
        ("O_1500_1", {"Data": ACC, "fs": 25_600.0}, "UESTC.* says 20000 Hz and the file's 'fs' 25600 Hz"),
        ("O_1500_1", {"Data": ACC, "rpm": 900.0}, "UESTC.* says 1500 rpm and the file's 'rpm' 900 rpm"),
        ("105", {"X105_DE_time": ACC, "fs": 25_600.0}, "CWRU.* says 12000 Hz and the file's 'fs' 25600 Hz"),
    ],
)
def test_what_a_file_says_goes_before_what_its_set_is_known_for(
    tmp_path: Path, name: str, variables: dict, said: str
) -> None:
    savemat(tmp_path / f"{name}.mat", variables)
    with pytest.raises(DataError, match=f"{said}.*If the file is none of .*'s, give it another name"):
        load_recordings(tmp_path)


def test_a_name_alone_makes_no_file_one_of_paderborn_or_ims(tmp_path: Path) -> None:
    savemat(tmp_path / "N15_M07_F10_KA04_1.mat", {"acc": ACC, "fs": 25_600.0})
    assert known_layout(tmp_path) is None
    rows = RNG.standard_normal((20_480, 4)).round(3)
    snapshot = tmp_path / "2003.10.22.12.06.24"
    np.savetxt(snapshot, rows, delimiter="\t", fmt="%.3f", header="a\tb\tc\td", comments="")
    assert known_layout(snapshot) is None

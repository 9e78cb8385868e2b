"""``secateur diagnose`` reads what training reads: which channel, from which file, and several at once."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from secateur.bundle.manifest import ChannelRecord
from secateur.cli.app import run
from secateur.core.errors import DataError
from secateur.edge import Runtime
from secateur.signals.kinematics import FaultOrders
from secateur.workflow.diagnosis import _Bins
from secateur.workflow.diagnosis_subjects import Given, find_subjects

RATE, N = 12_000, 512 * 20
RNG = np.random.default_rng(11)
ACC, OTHER = RNG.standard_normal((2, N)).astype(np.float32)


def diagnosed(capsys, *arguments):
    code = run(["diagnose", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def write_csv(path, acc=ACC, **before):
    columns = {**before, "acc": acc}
    rows = zip(*columns.values(), strict=True)
    path.write_text(
        ",".join(columns) + "\n" + "\n".join(",".join(map(repr, map(float, row))) for row in rows)
    )
    return path


def test_a_time_column_is_never_diagnosed_but_tells_the_rate(bundle_folder, tmp_path, capsys):
    file = write_csv(tmp_path / "pump.csv", time=np.arange(N) / RATE)
    code, told = diagnosed(capsys, file, "--bundle", bundle_folder, "--out", tmp_path / "out")
    assert code == 0
    assert (told["channel"], told["channel_chosen_by"]) == ("acc", "no other may be vibration")
    assert told["sampling_rate_hz"] == RATE
    _, expected = Runtime(bundle_folder).predict(ACC.reshape(-1, 512))
    np.testing.assert_allclose(list(told["mean_probabilities"].values()), expected.mean(axis=0), atol=1e-4)
    picture = ET.parse(tmp_path / "out/timeline.svg").getroot()
    assert "pump.csv, channel acc" in picture.attrib["aria-label"]
    run(["diagnose", str(file), "--bundle", str(bundle_folder), "--out", str(tmp_path / "two")])
    shown = " ".join(capsys.readouterr().out.split())
    assert "channel acc (no other may be vibration), 12000 Hz" in shown
    code, told = diagnosed(
        capsys, file, "--bundle", bundle_folder, "--sampling-rate", 25600, "--out", tmp_path / "no"
    )
    assert code == 2
    assert "--sampling-rate says 25600 Hz and the column 'time' 12000 Hz" in told["error"]


def test_several_channels_are_refused_unless_one_is_chosen_or_was_trained_on(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([ACC, OTHER], axis=1) / 8, RATE, subtype="FLOAT")
    with pytest.raises(DataError, match="2 columns that may be vibration; choose one with --channel NAME"):
        find_subjects([tmp_path / "x.wav"], Given())
    (subject,) = find_subjects([tmp_path / "x.wav"], Given(channel="1"))
    assert (subject.channel_name, subject.chosen_by) == ("1", "--channel")
    np.testing.assert_array_equal(subject.recording.read()[0], OTHER / 8)
    np.savez(tmp_path / "x.npz", DE=ACC, FE=OTHER, sampling_rate_hz=RATE)
    (subject,) = find_subjects([tmp_path / "x.npz"], Given(trained_on=ChannelRecord(name="FE")))
    assert (subject.channel_name, subject.chosen_by) == ("FE", "the model was trained on it")
    np.testing.assert_array_equal(subject.recording.read()[0], OTHER)
    with pytest.raises(DataError, match="2 columns that may be vibration"):
        find_subjects([tmp_path / "x.npz"], Given(trained_on=ChannelRecord(name="BA")))


def test_original_files_bring_their_rate_channels_and_speed(tmp_path):
    scipy_io = pytest.importorskip("scipy.io", reason="a device has no SciPy")
    scipy_io.savemat(tmp_path / "105.mat", {"X105_DE_time": ACC, "X105_FE_time": OTHER, "X105RPM": 1797.0})
    scipy_io.savemat(
        tmp_path / "InnerRaceFault_vload_1.mat",
        {"bearing": {"gs": OTHER, "sr": 48_828.0, "rate": 25.0, "load": 50.0}},
    )
    given = Given(trained_on=ChannelRecord(name="DE"))
    cwru, mfpt = find_subjects([tmp_path / "105.mat", tmp_path / "InnerRaceFault_vload_1.mat"], given)
    assert (cwru.channel_name, cwru.recording.sampling_rate_hz, cwru.shaft_speed_rpm) == ("DE", 12_000, 1797)
    assert cwru.fault_orders.bpfi == pytest.approx(5.415, abs=1e-3)
    np.testing.assert_array_equal(cwru.recording.read()[0], ACC)
    assert (mfpt.recording.sampling_rate_hz, mfpt.shaft_speed_rpm) == (48_828, 1500)
    with pytest.raises(DataError, match=r"--sampling-rate .*48000|48000 .*--sampling-rate"):
        find_subjects([tmp_path / "105.mat"], replace(given, sampling_rate_hz=48_000))
    with pytest.raises(DataError, match="--shaft-rpm says 1000 rpm and what describes it 1797 rpm"):
        find_subjects([tmp_path / "105.mat"], replace(given, shaft_speed_rpm=1000))
    with pytest.raises(DataError, match=r"is described with the fault orders 3\.585"):
        orders = FaultOrders.from_multipliers(bpfo=3.05, bpfi=4.95)
        find_subjects([tmp_path / "105.mat"], replace(given, fault_orders=orders))
    scipy_io.savemat(tmp_path / "106.mat", {"X106_DE_time": ACC, "X106RPM": 1000.0})
    with pytest.raises(DataError, match="its 'X106RPM' says 1000 rpm and the official table 1772 rpm"):
        find_subjects([tmp_path / "106.mat"], given)
    scipy_io.savemat(tmp_path / "pump_105.mat", {"acc": ACC, "fs": 25_600.0, "rpm": 900.0})
    (own,) = find_subjects([tmp_path / "pump_105.mat"], given)
    assert (own.recording.sampling_rate_hz, own.shaft_speed_rpm, own.fault_orders) == (25_600, 900, None)


def test_a_velocity_is_not_given_to_a_model_of_accelerations(tmp_path):
    write_csv(tmp_path / "x.csv").write_text((tmp_path / "x.csv").read_text().replace("acc", "vel [mm/s]", 1))
    given = Given(sampling_rate_hz=RATE, trained_on=ChannelRecord(name="acc", unit="g"))
    with pytest.raises(DataError, match=r"holds a velocity \(mm/s\), but the model was trained on acc"):
        find_subjects([tmp_path / "x.csv"], given)


def test_a_file_of_an_archive_brings_what_its_index_says(tmp_path):
    (tmp_path / "recordings").mkdir()
    for name in ("a", "b"):
        np.savez(tmp_path / "recordings" / f"{name}.npz", DE=ACC, FE=OTHER, sampling_rate_hz=RATE)
    (tmp_path / "recordings.csv").write_text(
        "recording_id,dataset,file,channels,sampling_rate_hz,fault_type,group_id,sha256,rpm,bearing\n"
        "first,rig,recordings/a.npz,DE|FE,12000,normal,g,,1490,6205\n"
    )
    (indexed,) = find_subjects([tmp_path / "recordings/a.npz"], Given(channel="FE"))
    assert (indexed.recording.recording_id, indexed.shaft_speed_rpm) == ("first", 1490)
    assert indexed.fault_orders.bpfo == pytest.approx(3.585, abs=1e-3)
    (tmp_path / "recordings" / "recordings.csv").write_text("no,index\n1,2\n")
    (alone,) = find_subjects([tmp_path / "recordings/b.npz"], Given(channel="FE"))
    assert (alone.recording.recording_id, alone.shaft_speed_rpm) == ("b", None)


DESCRIPTION = """
dataset: plant
columns: [DE, FE]
speed_rpm: 1490
bearing: 6205
recordings:
  - {file: 'a.npz', label: normal}
  - {file: 'b.npz'}
"""


def test_several_files_folders_and_a_description(bundle_folder, tmp_path, capsys):
    plant = tmp_path / "plant"
    plant.mkdir()
    for name, first in (("a", ACC), ("b", OTHER), ("dead", np.zeros(N))):
        np.savez(plant / f"{name}.npz", DE=first, FE=ACC, sampling_rate_hz=RATE)
    options = ("--bundle", bundle_folder, "--channel", "DE")
    code, told = diagnosed(capsys, plant, *options, "--out", tmp_path / "all")
    assert code == 1, "one recording gave no diagnosis"
    assert [entry["recording"] for entry in told["recordings"]] == ["a", "b", "dead"]
    assert told["without_diagnosis"] == 1
    assert "no usable window: 20 flat" in told["recordings"][2]["error"]
    runtime = Runtime(bundle_folder)
    for entry, samples in zip(told["recordings"], (ACC, OTHER), strict=False):
        _, expected = runtime.predict(samples.reshape(-1, 512))
        found = json.loads((tmp_path / "all" / entry["folder"] / "diagnosis.json").read_text())
        for result in (entry, found):
            means = list(result["mean_probabilities"].values())
            np.testing.assert_allclose(means, expected.mean(axis=0), atol=1e-4)
    assert sum(told["answers"].values()) == 2
    open_ones = [entry["judgement"]["answer"] is None for entry in told["recordings"][:2]]
    assert told["answers"]["cannot_say"] == sum(open_ones)
    rows = list(csv.DictReader((tmp_path / "all/recordings.csv").read_text().splitlines()))
    answers = [entry["judgement"]["answer"] or "cannot say" for entry in told["recordings"][:2]]
    assert [row["answer"] for row in rows] == [*answers, ""]
    reasons = ["; ".join(entry["judgement"]["reasons"]) for entry in told["recordings"][:2]]
    assert [row["reasons"] for row in rows] == [*reasons, ""]
    assert [row["folder"] for row in rows] == ["a", "b", ""]
    assert (tmp_path / "all/recordings.svg").read_text().count(": cannot say<") == sum(open_ones)
    assert [(row["recording"], row["label"] != "") for row in rows] == [
        ("a", True),
        ("b", True),
        ("dead", False),
    ]
    shapes = [element.tag.split("}")[1] for element in ET.parse(tmp_path / "all/recordings.svg").iter()]
    assert shapes.count("title") == 2 * len(runtime.labels)
    (plant / "recordings.yaml").write_text(DESCRIPTION)
    code, told = diagnosed(
        capsys, "--description", plant / "recordings.yaml", *options, "--out", tmp_path / "described"
    )
    assert code == 0
    assert [entry["shaft_speed_rpm"] for entry in told["recordings"]] == [1490, 1490]
    code, told = diagnosed(
        capsys, plant / "b.npz", "--description", plant / "recordings.yaml", *options, "--out", tmp_path / "b"
    )
    assert (code, told["recording"]) == (0, "b")
    for arguments, said in (
        ((plant / "dead.npz", "--description", plant / "recordings.yaml"), "is not among the 2 files"),
        ((plant / "a.npz", plant / "a.npz"), "was given twice"),
        ((), "no recording was given"),
        ((tmp_path / "none",), "does not exist; give a recording"),
    ):
        code, told = diagnosed(capsys, *arguments, *options, "--out", tmp_path / "no")
        assert code == 2
        assert said in told["error"]
        assert not (tmp_path / "no").exists()


def test_names_with_brackets_are_shown_as_they_are(bundle_folder, tmp_path, capsys):
    np.save(tmp_path / "pump [red] [bold].npy", ACC)
    arguments = [str(tmp_path / "pump [red] [bold].npy"), "--bundle", str(bundle_folder)]
    assert run(["diagnose", *arguments, "--sampling-rate", "12000", "--out", str(tmp_path / "out")]) == 0
    assert "[red] [bold].npy" in " ".join(capsys.readouterr().out.split())


def test_folders_keep_names_of_any_language(bundle_folder, tmp_path, capsys):
    names = ["泵 一", "泵 二", "ü" * 120]
    for number, name in enumerate(names):
        np.save(tmp_path / f"{name}.npy", np.roll(ACC, number))
    files = [tmp_path / f"{name}.npy" for name in names]
    options = ("--bundle", bundle_folder, "--sampling-rate", RATE, "--out", tmp_path / "out")
    _, told = diagnosed(capsys, *files, *options)
    assert [entry["folder"] for entry in told["recordings"]] == ["泵_一", "泵_二", "ü" * 50]


@pytest.mark.parametrize(("duration_s", "hop_s"), [(8.0, None), (8.0, 0.5), (6.83, None), (900.0, 0.7)])
def test_each_stretch_of_the_timeline_holds_windows(duration_s, hop_s):
    window_s = 16_384 / 12_000
    starts_s = np.arange(0.0, duration_s - window_s + 1e-9, hop_s or window_s)
    bins = _Bins(duration_s, window_s, hop_s, 2)
    bins.add(starts_s, np.full((len(starts_s), 2), 0.5))
    assert bins.counts.min() >= 1
    assert len(bins.counts) <= 450
    assert starts_s[-1] < bins.edges_s[-1] <= duration_s + 2 * (hop_s or window_s)


def test_geometry_on_the_command_line(bundle_folder, tmp_path, capsys):
    np.save(tmp_path / "x.npy", ACC)
    common = (tmp_path / "x.npy", "--bundle", bundle_folder, "--sampling-rate", RATE, "--shaft-rpm", 1797)
    told = {
        name: diagnosed(capsys, *common, *options, "--out", tmp_path / name)[1]["mean_probabilities"]
        for name, options in {
            "none": (),
            "named": ("--bearing", "6205"),
            "orders": ("--orders", "bpfo=3.585,bpfi=5.415"),
        }.items()
    }
    assert told["named"] != told["none"]
    assert list(told["orders"].values()) == pytest.approx(list(told["named"].values()), abs=1e-3)


def test_a_file_of_a_folder_that_cannot_be_read_is_named_and_the_others_are_diagnosed(
    bundle_folder, tmp_path, capsys
):
    (tmp_path / "night").mkdir()
    write_csv(tmp_path / "night" / "pump.csv", time=np.arange(N) / RATE)
    (tmp_path / "night" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "night" / "readme.txt").write_text("hello\nall\n")
    asked = (tmp_path / "night", "--bundle", bundle_folder, "--out", tmp_path / "out")
    code, told = diagnosed(capsys, *asked)
    assert code == 1
    assert [(each["recording"], each["label"] is None) for each in told["recordings"]] == [
        ("pump", False), ("broken", True), ("readme", True),
    ]  # fmt: skip
    assert "broken.wav is not a sound file" in told["recordings"][1]["error"]
    assert told["without_diagnosis"] == 2
    with (tmp_path / "out" / "recordings.csv").open(newline="") as stream:
        assert [row["recording"] for row in csv.DictReader(stream)] == ["pump", "broken", "readme"]
    assert run(["diagnose", *map(str, asked), "--overwrite"]) == 1
    assert "readme.txt" in "".join(capsys.readouterr().out.split())
    with pytest.raises(DataError, match=r"broken\.wav is not a sound file"):
        find_subjects([tmp_path / "night"], Given())
    (tmp_path / "night" / "pump.csv").unlink()
    code, told = diagnosed(capsys, *asked, "--overwrite")
    assert code == 2
    assert "broken.wav" in told["error"]

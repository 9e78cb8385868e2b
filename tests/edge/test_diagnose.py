"""``secateur diagnose``: the table, the summary and the picture agree with the runtime; misuse is told."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import soundfile

from secateur.cli.app import run
from secateur.edge import Runtime, speed_by_lines
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.checks import waveform
from secateur.signals.speed import refine_shaft_rate


@pytest.fixture(scope="module")
def samples():
    found = np.random.default_rng(5).standard_normal(512 * 50).astype(np.float32)
    found[512 * 20 : 512 * 22] = 0.0
    return found


@pytest.fixture
def recording(samples, tmp_path):
    np.save(tmp_path / "pump.npy", samples)
    return str(tmp_path / "pump.npy")


def diagnosed(capsys, *arguments):
    code = run(["diagnose", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_table_summary_and_picture(samples, recording, bundle_folder, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--sampling-rate", 12000, "--shaft-rpm", 1797, "--bearing", "6205", "--out", out)
    code, told = diagnosed(capsys, recording, "--bundle", bundle_folder, *options)
    assert code == 0
    runtime = Runtime(bundle_folder)
    usable = np.delete(samples.reshape(50, 512), [20, 21], axis=0)
    _, expected = runtime.predict(usable, shaft_rate_hz=1797 / 60, fault_orders=known_bearing("6205"))
    assert told["windows"] == 50
    assert told["usability"] == {"usable": 48, "flat": 2}
    np.testing.assert_allclose(list(told["mean_probabilities"].values()), expected.mean(axis=0), atol=1e-5)
    counts = np.bincount(expected.argmax(axis=1), minlength=3)
    assert list(told["decisions"].values()) == counts.tolist()
    assert told["label"] == runtime.labels[counts.argmax()]
    assert told == json.loads((out / "diagnosis.json").read_text())

    with (out / "windows.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["usability"] for row in rows] == ["usable"] * 20 + ["flat"] * 2 + ["usable"] * 28
    found = np.array([[float(row[label] or "nan") for label in runtime.labels] for row in rows])
    np.testing.assert_allclose(np.delete(found, [20, 21], axis=0), expected, atol=1e-4)
    assert rows[21]["start_s"] == f"{21 * 512 / 12000:.3f}"

    picture = ET.parse(out / "timeline.svg").getroot()
    shapes = [element.tag.split("}")[1] for element in picture.iter()]
    assert shapes.count("title") == 2, "two grey gaps"


def test_sound_files_state_their_rate_and_are_resampled(samples, bundle_folder, tmp_path, capsys):
    soundfile.write(tmp_path / "pump.wav", np.repeat(samples, 4) / 8, 48_000)
    _, told = diagnosed(capsys, tmp_path / "pump.wav", "--bundle", bundle_folder, "--out", tmp_path / "out")
    assert told["sampling_rate_hz"] == 48_000
    assert told["windows"] == 50


def test_screen_shows_label_and_what_was_passed_over(recording, bundle_folder, tmp_path, capsys):
    arguments = ["diagnose", recording, "--bundle", str(bundle_folder), "--sampling-rate", "12000"]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "2 windows passed over: flat" in shown
    assert "times real time" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "does not state its sampling rate"),
        (("--sampling-rate", 6000), "upwards only"),
        (("--sampling-rate", 12000, "--channel", "7"), "no channel '7'"),
        (("--sampling-rate", 12000, "--bearing", "cheese"), "unknown bearing"),
        (("--sampling-rate", 12000, "--hop-s", 0), "hop-s"),
        (("--sampling-rate", 12000, "--hop-s", "inf"), "a hop of inf s between windows"),
    ],
)
def test_wrong_use_leaves_nothing_behind(recording, bundle_folder, tmp_path, capsys, options, message):
    out = tmp_path / "out"
    code, told = diagnosed(capsys, recording, "--bundle", bundle_folder, "--out", out, *options)
    assert code == 2
    assert message in told["error"]
    assert not out.exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pump.npy"]


def test_a_dead_sensor_an_empty_file_and_a_foreign_folder_are_refused(bundle_folder, tmp_path, capsys):
    options = ("--bundle", bundle_folder, "--sampling-rate", 12000)
    cases = {"dead": np.zeros(4096), "empty": np.zeros(0), "short": np.ones(100)}
    for name, values in cases.items():
        np.save(tmp_path / f"{name}.npy", values.astype(np.float32)[None])
    told = {
        name: diagnosed(capsys, tmp_path / f"{name}.npy", *options, "--out", tmp_path / "out")[1]["error"]
        for name in cases
    }
    assert "no usable window: 8 flat" in told["dead"]
    assert "empty" in told["empty"]
    assert "one window needs 512" in told["short"]
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    np.save(tmp_path / "good.npy", np.random.default_rng(0).standard_normal((1, 4096)).astype(np.float32))
    code, answer = diagnosed(capsys, tmp_path / "good.npy", *options, "--out", tmp_path / "mine")
    assert code == 2
    assert "holds something else" in answer["error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shaft-rpm", 29.95), "If 29.95 Hz is meant, write 1797 rpm"),
        (("--shaft-rpm", 107_820, "--bearing", "6205"), "above half the sampling rate"),
        (("--orders", "107.4,162.2"), "divide by the shaft rate"),
        (("--balls", 9, "--ball-mm", 0.3126, "--pitch-mm", 39.04), "in inches"),
    ],
)
def test_what_contradicts_physics_is_refused(recording, bundle_folder, tmp_path, capsys, options, message):
    arguments = ("--bundle", bundle_folder, "--sampling-rate", 12000, "--out", tmp_path / "out", *options)
    code, told = diagnosed(capsys, recording, *arguments)
    assert code == 2
    assert message in told["error"]


def test_that_an_end_is_mirrored_is_told_and_no_doubt(bundle_folder, tmp_path, capsys):
    np.save(tmp_path / "short.npy", np.random.default_rng(0).standard_normal((1, 400)).astype(np.float32))
    options = ("--bundle", str(bundle_folder), "--sampling-rate", "12000")
    code, told = diagnosed(capsys, tmp_path / "short.npy", *options, "--out", tmp_path / "out")
    assert code == 0
    assert (told["windows"], told["doubts"]) == (1, [])
    assert told["recorded_share_of_window"] == pytest.approx(400 / 512)
    assert run(["diagnose", str(tmp_path / "short.npy"), *options, "--out", str(tmp_path / "other")]) == 0
    assert "78 % of a window was recorded; its end is mirrored" in capsys.readouterr().out


def test_what_is_doubtful_is_told(recording, bundle_folder, tmp_path, capsys):
    options = ("--bundle", bundle_folder, "--sampling-rate", 12000, "--bearing", "6008")
    code, told = diagnosed(capsys, recording, *options, "--shaft-rpm", 1797, "--out", tmp_path / "out")
    assert code == 0
    stuck, estimated = sorted(told["doubts"])
    assert "samples 10240 to 11264" in stuck
    assert "is estimated" in estimated
    assert run(["diagnose", recording, *map(str, options), "--out", str(tmp_path / "other")]) == 0
    assert "doubtful: channel" in capsys.readouterr().out


def test_a_speed_that_the_lines_contradict_is_replaced_and_told(bundle_folder, tmp_path, capsys):
    time_s = np.arange(120_000) / 12_000
    lines = sum(np.sin(2 * np.pi * n * 29.53 * time_s) for n in (1, 2, 3, 5))
    noise = np.random.default_rng(3).standard_normal(time_s.size)
    np.save(tmp_path / "pump.npy", (noise + 0.2 * lines).astype(np.float32))
    options = ("--bundle", bundle_folder, "--sampling-rate", 12000, "--bearing", "6205")
    told = {
        rpm: diagnosed(
            capsys, tmp_path / "pump.npy", *options, "--shaft-rpm", rpm, "--out", tmp_path / f"out{rpm}"
        )[1]
        for rpm in (1732, 1771.8, 1700)
    }
    assert told[1732]["shaft_speed_rpm"] == 1732
    assert told[1732]["shaft_speed_used_rpm"] == pytest.approx(1771.8, rel=1e-3)
    assert any(
        "1732 rpm is stated, but the shaft's lines stand at 177" in doubt for doubt in told[1732]["doubts"]
    )
    assert (told[1771.8]["shaft_speed_used_rpm"], told[1771.8]["doubts"]) == (1771.8, [])
    assert told[1700]["shaft_speed_used_rpm"] == 1700
    assert any(
        "the speed is doubtful: the lines point to" in why for why in told[1700]["judgement"]["reasons"]
    )


def test_the_speed_is_sought_in_the_lines_once(recording, bundle_folder, tmp_path, capsys, monkeypatch):
    sought = []

    def counted(samples, sampling_rate_hz, nominal_hz):
        sought.append(nominal_hz)
        return refine_shaft_rate(samples, sampling_rate_hz, nominal_hz)

    for module in (speed_by_lines, waveform):
        monkeypatch.setattr(module, "refine_shaft_rate", counted)
    options = ("--bundle", bundle_folder, "--sampling-rate", 12000, "--bearing", "6205")
    diagnosed(capsys, recording, *options, "--shaft-rpm", 1797, "--out", tmp_path / "out")
    assert sought == [1797 / 60]

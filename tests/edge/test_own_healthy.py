"""What a machine's own healthy recordings change in an answer."""

from __future__ import annotations

import json
import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abstaining import THRESHOLDS, manifest
from secateur.cli.app import run
from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.edge.foundation import SHIPPED
from secateur.edge.judgement import judge
from secateur.edge.own_healthy import (
    LEAST_SPREAD,
    LEVEL_RATIO,
    SPREADS,
    HealthyRecording,
    OwnHealthy,
    learn_own_healthy,
    read_own_healthy,
)
from secateur.edge.runtime import Runtime
from secateur.signals.bearings.catalogue import known_bearing

RATE_HZ = 12_000
LIMITS = OwnHealthy(
    bundle="b",
    version="v",
    recordings=2,
    windows=6,
    most_damage=0.2,
    lowest_rms=1.0,
    highest_rms=2.0,
    lowest_shaft_hz=20.0,
    highest_shaft_hz=30.0,
    fault_orders=known_bearing("6205"),
    channel="DE",
    unit="g",
)


def learned(normal, *, rms=1.0, shaft_rate_hz=25.0):
    normal = np.asarray(normal)
    entry = HealthyRecording(normal=normal, rms=np.full(len(normal), rms), shaft_rate_hz=shaft_rate_hz)
    return learn_own_healthy([entry], bundle="b", version="v")


def judged(probabilities, *, energy=3.0, limits=LIMITS, rms=1.5, shaft_rate_hz=25.0, doubts=()):
    return judge(
        np.array(probabilities),
        energy,
        manifest(),
        evidence=None,
        own_healthy=limits,
        rms=rms,
        shaft_rate_hz=shaft_rate_hz,
        doubts=doubts,
    )


def test_the_limit_of_damage_is_three_spreads_above_the_median():
    odds = np.array([-4.0, -3.5, -4.5, -3.2, -5.0])  # median -4, median deviation 0.5
    limits = learned(1.0 / (1.0 + np.exp(odds)))
    assert limits.most_damage == pytest.approx(1.0 / (1.0 + math.exp(4.0 - SPREADS * 1.4826 * 0.5)))


def test_windows_that_agree_leave_room_for_the_next_ones():
    limits = learned([0.95, 0.95, 0.95])
    assert limits.most_damage == pytest.approx(1 / (1 + math.exp(math.log(19.0) - SPREADS * LEAST_SPREAD)))
    assert (limits.lowest_rms, limits.highest_rms) == pytest.approx((1.0, 1.0))


@given(st.lists(st.floats(0.51, 0.999), min_size=3, max_size=20))
def test_the_median_of_what_was_learned_from_is_always_like_it(normal):
    limits = learned(normal)
    assert limits.most_damage <= 0.5
    middle = float(np.median(normal))
    assert limits.differences(normal=middle, rms=1.0, shaft_rate_hz=25.0) == ()


def test_levels_are_those_of_recordings_and_speeds_need_all_of_them():
    loud = HealthyRecording(normal=np.full(3, 0.9), rms=np.array([3.0, 4.0]), shaft_rate_hz=30.0)
    still = HealthyRecording(normal=np.full(3, 0.9), rms=np.array([1.0]), shaft_rate_hz=20.0)
    limits = learn_own_healthy([loud, still], bundle="b", version="v")
    assert (limits.lowest_rms, limits.highest_rms) == pytest.approx((1.0, math.sqrt(12.5)))
    assert (limits.lowest_shaft_hz, limits.highest_shaft_hz) == (20.0, 30.0)
    unknown = HealthyRecording(normal=np.full(3, 0.9), rms=np.ones(3))
    assert learn_own_healthy([loud, unknown], bundle="b", version="v").lowest_shaft_hz is None


@pytest.mark.parametrize(
    ("normal", "said"),
    [
        ([0.9, 0.9], "hold 2 usable windows"),
        ([0.3, 0.3, 0.2], "damage with 70 %"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(normal, said):
    with pytest.raises(DataError, match=said):
        learned(normal)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rms": 2.0 * LEVEL_RATIO * 1.01}, "1.5 times the highest"),
        ({"rms": 1.0 / LEVEL_RATIO * 0.99}, "0.66 times the lowest"),
        ({"normal": 0.79}, "damage with 21 % \\(like them: up to 20 %\\)"),
        ({"shaft_rate_hz": 33.1}, "1986 rpm, the healthy recordings at 1200 to 1800 rpm"),
    ],
)
def test_each_difference_is_said(options, said):
    like = {"normal": 0.9, "rms": 1.5, "shaft_rate_hz": 25.0}
    assert LIMITS.differences(**like) == ()
    assert LIMITS.differences(**like | {"shaft_rate_hz": 0.0}) == ()
    with pytest.raises(AssertionError, match=said):
        assert not LIMITS.differences(**like | options)


def test_like_its_healthy_recordings_is_normal_without_being_sure():
    unsure = [0.85, 0.05, 0.05, 0.05]
    record = THRESHOLDS.model_copy(update={"least_confidence": 0.9})
    alone = judge(np.array(unsure), 3.0, manifest(record), evidence=None)
    assert (alone.answer, alone.unlike_healthy) == (None, None)
    judgement = judged(unsure, energy=0.0)
    assert (judgement.answer, judgement.unlike_healthy) == ("normal", ())
    assert judged(unsure, doubts=("the speed is doubtful",)).answer is None


def test_a_sure_normal_that_is_unlike_them_is_not_said():
    judgement = judged([0.99, 0.01, 0.0, 0.0], rms=9.0)
    assert judgement.answer is None
    assert judgement.reasons == (
        "unlike the machine's own healthy recordings: its level is 4.5 times the highest of them",
    )


def test_damages_are_named_by_the_bundles_own_thresholds():
    assert judged([0.05, 0.9, 0.05, 0.0]).answer == "inner_race"
    weak = judged([0.3, 0.6, 0.1, 0.0])
    assert weak.answer is None
    assert weak.unlike_healthy == ("the model sees damage with 70 % (like them: up to 20 %)",)
    assert weak.reasons[0].startswith("the model is not sure")


STATED = {"shaft_rate_hz": 25.0, "fault_orders": known_bearing("6205"), "channel": "DE", "unit": "g"}


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"fault_orders": known_bearing("6203")}, "its bearing is one of the fault orders 3.0"),
        ({"fault_orders": None}, "its bearing is not stated, that of the healthy recordings one of"),
        ({"shaft_rate_hz": 0.0}, "its shaft speed is not stated, that of the healthy recordings stated"),
        ({"channel": "FE"}, "its channel is FE, that of the healthy recordings DE"),
        ({"unit": "m/s2"}, "its unit is m/s2, that of the healthy recordings g"),
    ],
)
def test_what_is_stated_otherwise_cannot_be_compared(otherwise, said):
    LIMITS.require_comparable(**STATED)
    LIMITS.require_comparable(**STATED | {"channel": None, "unit": None})
    LIMITS.model_copy(update={"unit": "m/s^2"}).require_comparable(**STATED | {"unit": "m/s²"})
    with pytest.raises(DataError, match=said):
        LIMITS.require_comparable(**STATED | otherwise)


def test_what_was_not_stated_of_the_healthy_ones_cannot_be_stated_later():
    unknown = LIMITS.model_copy(update={"fault_orders": None, "lowest_shaft_hz": None})
    unknown.require_comparable(shaft_rate_hz=0.0, fault_orders=None)
    with pytest.raises(DataError, match=r"bearing is one of .* not stated; its shaft speed is stated"):
        unknown.require_comparable(**STATED)


def test_a_program_that_tells_another_bearing_is_refused(tmp_path):
    runtime = Runtime(SHIPPED)
    runtime.own_healthy = LIMITS
    waveform = np.random.default_rng(0).normal(size=9_000)
    with pytest.raises(DataError, match="cannot be compared"):
        runtime.diagnose(
            waveform, sampling_rate_hz=RATE_HZ, shaft_rate_hz=25.0, fault_orders=known_bearing("6203")
        )


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "limits.json"
    with pytest.raises(DataError, match="missing"):
        read_own_healthy(path, bundle="b", version="v")
    path.write_text(LIMITS.model_dump_json())
    assert read_own_healthy(path, bundle="b", version="v") == LIMITS
    with pytest.raises(ConfigError, match=r"learned by b \(version v\)"):
        read_own_healthy(path, bundle="b", version="w")
    path.write_text(json.dumps({**LIMITS.model_dump(), "most_damage": 0.7}))
    with pytest.raises(CheckpointError, match="most_damage"):
        read_own_healthy(path, bundle="b", version="v")


def recording(path, *, seed, gain=1.0, seconds=6.0, tones=1.0):
    """Noise with shaft tones, as WAV of 16 bits."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    waveform = 0.3 * np.convolve(rng.standard_normal(len(time_s)), np.hanning(7), mode="same")
    waveform += 0.4 * tones * np.cos(2 * np.pi * 29.5 * time_s)
    waveform += 0.2 * tones * np.cos(4 * np.pi * 29.5 * time_s)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((3_000 * gain * waveform).astype("<i2").tobytes())
    return str(path)


def test_commissioned_by_a_user_the_machine_is_normal_until_it_gets_loud(tmp_path, capsys):
    machine = ["--bearing", "6205", "--shaft-rpm", "1770"]
    first, second = (recording(tmp_path / f"healthy{seed}.wav", seed=seed) for seed in (0, 1))
    limits = tmp_path / "pump.json"
    call = ["commission", "--healthy", first, "--healthy", second, *machine, "--out", str(limits)]
    assert run([*call, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["limits"] == json.loads(limits.read_text())
    assert told["limits"]["version"] == Runtime(SHIPPED).version
    assert [row["windows"] for row in told["recordings"]] == [4, 4]

    def answer(path):
        call = ["diagnose", path, *machine, "--own-healthy", str(limits), "--out", str(tmp_path / "d")]
        assert run([*call, "--overwrite", "--json"]) == 0
        return json.loads(capsys.readouterr().out)["judgement"]

    later = recording(tmp_path / "later.wav", seed=2)
    assert answer(later)["answer"] == "normal"
    elsewhere = ["--bearing", "6203", "--shaft-rpm", "1770", "--own-healthy", str(limits)]
    assert run(["diagnose", later, *elsewhere, "--out", str(tmp_path / "other")]) == 2
    assert "its bearing is one of the fault orders 3.0" in capsys.readouterr().err
    loud = answer(recording(tmp_path / "loud.wav", seed=3, gain=3.0))
    assert loud["answer"] is None
    assert "times the highest" in loud["unlike_healthy"][0]
    refused = [*call[:-1], first]
    before = Path(first).read_bytes()
    assert run(refused) == 2
    assert "holds something else" in capsys.readouterr().err
    assert Path(first).read_bytes() == before
    assert run(call) == 0
    assert f"--own-healthy {limits}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (({"bearing": "6203"}, {"bearing": "6205"}), "of several bearings"),
        (({"unit": "m/s2"}, {"unit": "g"}), "of several units (g; m/s2)"),
        (
            ({"label": "normal"}, {"label": "ball"}),
            "1 of 2 recordings are described as damaged (first: 1, ball)",
        ),
    ],
)
def test_healthy_recordings_of_two_bearings_or_damaged_ones_are_refused(stated, said, tmp_path, capsys):
    entries = [
        {"file": Path(recording(tmp_path / f"{number}.wav", seed=number)).name, **entry}
        for number, entry in enumerate(stated)
    ]
    described = tmp_path / "recordings.yaml"
    described.write_text(json.dumps({"dataset": "pumps", "speed_rpm": 1770, "recordings": entries}))
    call = ["commission", "--description", str(described), "--out", str(tmp_path / "pump.json")]
    assert run(call) == 2
    assert said in capsys.readouterr().err


def test_one_unit_in_two_spellings_is_one(tmp_path, capsys):
    entries = [
        {"file": Path(recording(tmp_path / f"{number}.wav", seed=number)).name, "unit": unit}
        for number, unit in enumerate(("m/s2", "m/s^2"))
    ]
    described = tmp_path / "recordings.yaml"
    described.write_text(
        json.dumps({"dataset": "pumps", "speed_rpm": 1770, "bearing": "6205", "recordings": entries})
    )
    call = ["commission", "--description", str(described), "--out", str(tmp_path / "pump.json")]
    assert run(call) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to commission"),
        (["--healthy", "a.wav"], "needs --out"),
        (["--healthy", "a.wav", "--out", "b.json", "--sensor", "m/s"], "--sensor is for an agent's sensor"),
        (["agent.yaml", "--sensor", "m/s", "--bearing", "6205"], "--bearing is for a bundle"),
        (["agent.yaml", "--sensor", "m/s", "--recording", "a.npy", "--channel", "x"], "give its number"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments, said, capsys):
    assert run(["commission", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_of_several_healthy_recordings_the_one_that_is_too_short_is_named(tmp_path, capsys):
    whole, short = recording(tmp_path / "a.wav", seed=0), recording(tmp_path / "b.wav", seed=1, seconds=0.5)
    call = ["commission", "--healthy", whole, "--healthy", short, "--out", str(tmp_path / "pump.json")]
    assert run(call) == 2
    assert "error: b: the waveform lasts 0.5 s" in capsys.readouterr().err


def test_noise_is_no_example_of_a_healthy_machine(tmp_path, capsys):
    whole = recording(tmp_path / "a.wav", seed=0)
    noise = recording(tmp_path / "b.wav", seed=1, tones=0.0)
    call = ["commission", "--healthy", whole, "--healthy", noise, "--out", str(tmp_path / "pump.json")]
    assert run(call) == 2
    told = capsys.readouterr().err
    assert "error: b: no line stands out of its spectrum" in told
    assert "leave it out" in told

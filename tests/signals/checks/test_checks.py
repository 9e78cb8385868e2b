"""Each check finds its fault, and nothing on sound data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.core.progress import quiet
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.checks.run import check, require_sound, statement_findings
from secateur.signals.checks.waveform import Seen, check_machine, check_speed, check_waveform
from secateur.signals.checks.whole_set import check_levels, check_set
from secateur.signals.findings import Finding
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import ArraySource, Recording

RNG = np.random.default_rng(5)


def machine(shape: int | tuple[int, ...]) -> np.ndarray:
    """Return noise with a line in it, as every machine that turns has."""
    noise = RNG.standard_normal(shape)
    return noise + np.cos(2 * np.pi * 0.013 * np.arange(noise.shape[-1]))


def recording(name: str = "r", samples: np.ndarray | None = None, **changes: object) -> Recording:
    waveform = machine((1, 20_000)).astype(np.float32) if samples is None else samples
    settings = {
        "recording_id": name, "source": ArraySource(waveform), "channels": ("DE",),
        "sampling_rate_hz": 12_000.0, "group_id": name, "dataset": "D", "fault_location": "normal",
        "shaft_speed_rpm": 1800.0, "fault_orders": known_bearing("6205"),
    }  # fmt: skip
    return Recording(**{**settings, **changes})


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in findings]


def waveform_findings(samples: np.ndarray, **changes: object) -> list[Finding]:
    one = recording(samples=samples.astype(np.float32), **changes)
    return [*check_waveform(one, Seen()), *check_machine(one)]


def test_sound_recordings_pass() -> None:
    assert waveform_findings(machine((1, 300_000))) == []
    sound = [recording(f"{label}{i}", fault_location=label) for label in ("normal", "ball") for i in (0, 1)]
    assert list(check_set(sound)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 270_000])
def test_values_that_are_not_finite_are_placed(value: float, place: int) -> None:
    samples = machine((1, 300_000))
    samples[0, [place, place + 7]] = value
    (finding,) = waveform_findings(samples)
    assert (finding.severity, finding.code, finding.subject) == ("error", "not_finite", "r")
    assert f"channel DE: sample {place} ({place / 12_000:.3f} s) is NaN or infinite, the first of 2;" in (
        finding.message
    )


def test_nothing_but_nan() -> None:
    assert ("error", "not_finite") in codes(waveform_findings(np.full((1, 20_000), np.nan)))


def test_dead_channels_are_named() -> None:
    samples = np.stack([machine(20_000), np.full(20_000, 3.0)])
    (finding,) = waveform_findings(samples, channels=("DE", "FE"))
    assert (finding.code, "channel FE never changes" in finding.message) == ("constant", True)


def test_clipping_is_told_from_a_lone_peak_and_from_coarse_steps() -> None:
    samples = 3 * machine((1, 200_000))
    assert codes(waveform_findings(np.clip(samples, -6.0, np.inf))) == [("warning", "clipping")]
    assert codes(waveform_findings(np.clip(samples, -np.inf, 6.0))) == [("warning", "clipping")]
    assert waveform_findings(np.round(samples)) == []
    samples[0, 100] = 1000.0
    assert waveform_findings(samples) == []


def test_short_recordings() -> None:
    samples = machine((1, 8192))
    assert waveform_findings(samples) == []
    assert codes(waveform_findings(samples[:, 1:])) == [("note", "too_short")]
    assert codes(waveform_findings(samples[:, : int(0.7 * 8192)])) == [("warning", "too_short")]


def test_copies_are_found() -> None:
    seen = Seen()
    samples = machine((1, 20_000)).astype(np.float32)
    assert list(check_waveform(recording("a", samples), seen)) == []
    (finding,) = check_waveform(recording("b", samples.copy()), seen)
    assert (finding.code, finding.subject, "that of a;" in finding.message) == ("copy", "b", True)


@pytest.mark.parametrize(
    ("changed", "begin"),
    [
        (lambda x: 9.81 * x, 0),
        (lambda x: np.round(x / 8.0 * 32_767) + 1000, 0),
        (lambda x: x[:, 11_000:35_000], 11_000),
        (lambda x: np.concatenate([machine((1, 9_000)), x[:, :20_000]], axis=1), -9_000),
    ],
)
def test_copies_at_another_scale_or_place_are_found(changed, begin) -> None:
    seen, samples = Seen(), machine((1, 40_000)).astype(np.float32)
    assert list(check_waveform(recording("a", samples), seen)) == []
    (finding,) = check_waveform(recording("b", changed(samples).astype(np.float32), group_id="other"), seen)
    assert (finding.severity, finding.code) == ("error", "copy")
    own, original = map(int, re.findall(r"samples (\d+) to .* from sample (\d+) on", finding.message)[0])
    assert original - own == begin


def test_stretches_shared_within_one_documented_specimen_are_a_warning() -> None:
    seen, samples = Seen(), machine((1, 40_000)).astype(np.float32)
    one = {"group_id": "g", "specimens_documented": True}
    assert list(check_waveform(recording("a", samples[:, :30_000], **one), seen)) == []
    assert codes(check_waveform(recording("b", samples[:, 10_000:], **one), seen)) == [("warning", "copy")]


def test_machines_that_run_alike_are_no_copies() -> None:
    seen, time_s = Seen(), np.arange(60_000) / 12_000
    for number in range(4):
        teeth = np.sin(2 * np.pi * 500.0 * time_s) * (1 + 0.5 * np.sin(2 * np.pi * 25.0 * time_s))
        samples = (teeth + 0.1 * machine(60_000)).astype(np.float32)[None]
        assert list(check_waveform(recording(f"r{number}", samples), seen)) == []


def test_a_group_of_two_labels() -> None:
    mixed = [recording("a", group_id="g"), recording("b", group_id="g", fault_location="ball")]
    found = [finding for finding in check_set(mixed) if finding.code == "group_labels"]
    assert [(finding.severity, finding.subject) for finding in found] == [("error", "g")]
    assert "ball, normal" in found[0].message


def test_normals_at_another_rate() -> None:
    slow = [recording("f0", fault_location="ball"), recording("f1", fault_location="ball")]
    fast = [recording(name, sampling_rate_hz=48_000.0) for name in ("n0", "n1")]
    assert codes(list(check_set(slow + fast))) == [("warning", "normal_rate")]
    assert codes(list(check_set([*slow, *fast, recording("n2")]))) == [("note", "mixed_rates")]
    assert codes(list(check_set(slow))) == [("warning", "one_class"), ("warning", "no_normal")]


def test_sizes_in_inches() -> None:
    members = [recording(name) for name in ("n0", "n1")]
    members += [recording(name, fault_location="ball", fault_size_mil=0.007) for name in ("b0", "b1")]
    assert codes(list(check_set(members))) == [("warning", "fault_size")]


def test_lone_specimens_and_gaps() -> None:
    lone = [recording("n"), recording("b0", fault_location="ball"), recording("b1", fault_location="ball")]
    assert [(f.code, f.subject) for f in check_set(lone)] == [("single_group", "normal")]
    bare = [
        recording(name, fault_location=None, shaft_speed_rpm=None, fault_orders=None) for name in ("x", "y")
    ]
    assert codes(list(check_set(bare))) == [
        ("warning", "no_speed"), ("note", "no_bearing"), ("note", "unlabelled"),
    ]  # fmt: skip


def test_groups_that_differ_in_their_writing_alone() -> None:
    def of(*groups: str) -> list[Finding]:
        members = [recording(f"n{n}", group_id=group) for n, group in enumerate(groups)]
        return [found for found in check_set(members) if found.code == "group_spelling"]

    (found,) = of("pump 1", "Pump_1", "pump 2")
    assert "the groups 'Pump_1', 'pump 1' differ in their writing alone" in found.message
    assert of("pump 1", "pump 11", "pump1", "1-1", "11") == []


def test_velocities_among_accelerations() -> None:
    def found(*units: str | None) -> list[str]:
        members = [recording(f"n{n}", unit=unit) for n, unit in enumerate(units)]
        return [each.message for each in check_set(members) if each.code == "mixed_quantities"]

    (message,) = found("g", "mm/s", "m/s^2", None)
    assert "acceleration: 2, first n0; velocity: 1, first n1" in message
    assert found("g", "m/s^2", "V", None) == []


def stuck_findings(samples: np.ndarray) -> list[Finding]:
    return [finding for finding in waveform_findings(samples) if finding.code == "stuck"]


@pytest.mark.parametrize("begin", [0, 100_000, 262_100, 280_000])
@pytest.mark.parametrize("kind", ["flat", "two values"])
def test_a_stuck_stretch_is_placed_anywhere(begin: int, kind: str) -> None:
    samples = machine((1, 300_000))
    samples[0, begin : begin + 6000] = 0.3
    if kind == "two values":
        samples[0, begin + 1 : begin + 6000 : 2] = -0.2
    (finding,) = stuck_findings(samples)
    assert (finding.severity, finding.subject) == ("warning", "r")
    assert f"channel DE: samples {begin} to {begin + 6000} " in finding.message
    assert "2.0 % of the recording" in finding.message


def test_a_frozen_last_third_is_an_error() -> None:
    samples = machine((1, 120_000))
    samples[0, 80_000:] = samples[0, 80_000]
    (finding,) = stuck_findings(samples)
    assert (finding.severity, "80000 to 120000 " in finding.message) == ("error", True)


def test_values_that_change_in_pairs_every_few_samples_are_one_stretch() -> None:
    samples = machine((1, 120_000))
    for begin in range(50_000, 52_000, 20):
        samples[0, begin : begin + 20 : 2], samples[0, begin + 1 : begin + 20 : 2] = machine(2)
    (finding,) = stuck_findings(samples)
    assert "samples 50000 to 52000 " in finding.message


def test_coarse_steps_are_not_stuck() -> None:
    assert stuck_findings(np.round(1.2 * machine((1, 300_000)))) == []


def test_what_comes_from_no_machine_is_a_warning() -> None:
    noise = RNG.standard_normal((1, 20_000))
    assert codes(waveform_findings(noise)) == [("warning", "no_machine")]
    tone = np.cos(2 * np.pi * 0.1234 * np.arange(20_000))
    assert codes(waveform_findings(1e-4 * noise + tone)) == [("warning", "no_machine")]
    assert codes(waveform_findings(0.1 * noise + tone)) == []


def test_values_of_no_sensor() -> None:
    samples = machine((1, 20_000))
    assert codes(waveform_findings(1e-24 * samples)) == [("error", "out_of_range")]
    samples[0, 77] = 1e30
    assert codes(waveform_findings(samples)) == [("error", "out_of_range")]


def test_copies_under_another_label_and_longer_copies() -> None:
    seen, samples = Seen(), machine((1, 20_000)).astype(np.float32)
    assert list(check_waveform(recording("a", samples), seen)) == []
    (finding,) = check_waveform(recording("b", samples.copy(), fault_location="ball"), seen)
    assert "under another label (ball, normal)" in finding.message
    (finding,) = check_waveform(recording("c", samples[:, :15_000]), seen)
    assert (finding.code, "begins as that of a" in finding.message) == ("copy", True)


def test_level_that_tells_the_class() -> None:
    members = [
        recording(f"{label}{number}", fault_location=label)
        for label in ("normal", "ball")
        for number in (0, 1)
    ]
    apart = {"normal0": 0.01, "normal1": 0.011, "ball0": 1.0, "ball1": 1.3}
    (finding,) = check_levels(members, apart)
    assert (finding.severity, finding.code) == ("warning", "level")
    assert "109 times quieter" in finding.message
    assert "another unit" in finding.message
    assert list(check_levels(members, {**apart, "ball1": 0.0105})) == []
    assert list(check_levels(members, dict.fromkeys(apart, 1.0))) == []


def test_a_speed_that_the_lines_contradict() -> None:
    time_s = np.arange(120_000) / 12_000
    lines = sum(np.sin(2 * np.pi * n * 29.53 * time_s) for n in (1, 2, 3, 5))
    noise = np.random.default_rng(0)
    samples = (noise.standard_normal(time_s.size) + 0.2 * lines)[None].astype(np.float32)

    def findings(rpm: float) -> list[Finding]:
        return list(check_speed(recording(samples=samples, shaft_speed_rpm=rpm)))

    assert findings(1772.0) == []
    (finding,) = findings(1732.0)
    assert (finding.severity, finding.code) == ("warning", "speed_contradicted")
    assert "1732 rpm is stated, but the shaft's lines stand at 177" in finding.message
    (finding,) = findings(1700.0)
    assert "the lines point to 177" in finding.message
    assert [(f.severity, f.code) for f in findings(29.53)] == [("error", "speed_unit")]
    assert "Write 1771.8 rpm" in findings(29.53)[0].message
    assert [(f.severity, f.code) for f in findings(60 * 1771.8)] == [("error", "speed_unit")]


def test_statements_against_physics() -> None:
    def found(**changes: object) -> list[tuple[str, str]]:
        return codes(list(statement_findings(recording(**changes))))

    assert found() == []
    assert ("error", "sampling_rate") in found(sampling_rate_hz=12.0)
    assert ("error", "line_above_nyquist") in found(sampling_rate_hz=300.0)
    assert found(shaft_speed_rpm=29.95) == [("error", "speed")]
    assert ("error", "line_above_nyquist") in found(shaft_speed_rpm=107_820.0)
    assert found(fault_orders=FaultOrders.from_multipliers(bpfo=107.4, bpfi=162.2)) == [
        ("error", "orders_too_high")
    ]


def test_no_group_and_one_class() -> None:
    loose = [
        recording(f"{label}{number}", fault_location=label, specimens_documented=False)
        for label in ("normal", "ball")
        for number in (0, 1)
    ]
    assert codes(list(check_set(loose))) == [("warning", "no_group")]
    assert codes(list(check_set([recording("a"), recording("b")]))) == [("warning", "one_class")]


def test_training_refuses_what_the_check_calls_an_error() -> None:
    sound = [recording(f"{label}{i}", fault_location=label) for label in ("normal", "ball") for i in (0, 1)]
    with quiet():
        assert require_sound(sound, window_length=8192) == []
        slow = recording("slow", sampling_rate_hz=12.0)
        with pytest.raises(DataError, match=r"slow: sampling rate 12 Hz.*If 12 kHz is meant, write 12000"):
            require_sound([*sound, slow], window_length=8192)
        frozen = machine((1, 20_000)).astype(np.float32)
        frozen[0, 14_000:] = 0.5
        with pytest.raises(DataError, match="frozen: channel DE: samples 14000 to 20000"):
            require_sound([*sound, recording("frozen", frozen)], window_length=8192)


@pytest.mark.data
def test_the_real_recordings_are_sound(cwru_dir: Path, tmp_path: Path) -> None:
    names = ("ir007_0hp_105", "b007_0hp_118", "or007_at6_0hp_130")
    header, *rows = (cwru_dir / "recordings.csv").read_text().splitlines()
    chosen = [row for row in rows if any(f"12k_drive_end_{name}," in row for name in names)]
    (tmp_path / "recordings.csv").write_text("\n".join([header, *chosen]) + "\n")
    (tmp_path / "recordings").mkdir()
    for name in names:
        file = f"recordings/cwru_12k_drive_end_{name}.npz"
        shutil.copyfile(cwru_dir / file, tmp_path / file)
    with quiet():
        report = check(tmp_path)
        assert {code for _, code in codes(report.findings)} == {
            *("single_group", "no_normal", "only_leaking_splits"),
        }
        assert (report.recordings, report.files_read, report.count("error")) == (3, 3, 0)
        assert [verdict.protocol for verdict in report.splits if verdict.possible] == ["random_window"]
        damaged = tmp_path / "recordings" / "cwru_12k_drive_end_ir007_0hp_105.npz"
        damaged.write_bytes(damaged.read_bytes()[:-1000])
        (tmp_path / "recordings" / "cwru_12k_drive_end_b007_0hp_118.npz").unlink()
        errors = [(f.code, f.subject[-3:]) for f in check(tmp_path).findings if f.severity == "error"]
    assert sorted(errors) == [
        *(("checksum", "105"), ("missing_file", "118"), ("no_split", "ing"), ("unreadable", "105")),
    ]

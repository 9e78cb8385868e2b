"""Each check finds its fault, and nothing on sound data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from secateur.core.progress import quiet
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.checks import check, check_set, check_waveform
from secateur.signals.findings import Finding
from secateur.signals.recording import ArraySource, Recording

RNG = np.random.default_rng(5)


def recording(name: str = "r", samples: np.ndarray | None = None, **changes: object) -> Recording:
    waveform = RNG.standard_normal((1, 20_000)).astype(np.float32) if samples is None else samples
    settings = {
        "recording_id": name, "source": ArraySource(waveform), "channels": ("DE",),
        "sampling_rate_hz": 12_000.0, "group_id": name, "dataset": "D", "fault_location": "normal",
        "shaft_speed_rpm": 1800.0, "fault_orders": known_bearing("6205"),
    }  # fmt: skip
    return Recording(**{**settings, **changes})


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in findings]


def waveform_findings(samples: np.ndarray, **changes: object) -> list[Finding]:
    return list(check_waveform(recording(samples=samples.astype(np.float32), **changes), {}))


def test_sound_recordings_pass() -> None:
    assert waveform_findings(RNG.standard_normal((1, 300_000))) == []
    sound = [recording(f"{label}{i}", fault_location=label) for label in ("normal", "ball") for i in (0, 1)]
    assert list(check_set(sound)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 270_000])
def test_values_that_are_not_finite_are_placed(value: float, place: int) -> None:
    samples = RNG.standard_normal((1, 300_000))
    samples[0, [place, place + 7]] = value
    (finding,) = waveform_findings(samples)
    assert (finding.severity, finding.code, finding.subject) == ("error", "not_finite", "r")
    assert f"channel DE: 2 samples are NaN or infinite, the first at {place};" in finding.message


def test_nothing_but_nan() -> None:
    assert ("error", "not_finite") in codes(waveform_findings(np.full((1, 20_000), np.nan)))


def test_dead_channels_are_named() -> None:
    samples = np.stack([RNG.standard_normal(20_000), np.full(20_000, 3.0)])
    (finding,) = waveform_findings(samples, channels=("DE", "FE"))
    assert (finding.code, "channel FE never changes" in finding.message) == ("constant", True)


def test_clipping_is_told_from_a_lone_peak_and_from_coarse_steps() -> None:
    samples = 3 * RNG.standard_normal((1, 200_000))
    assert codes(waveform_findings(np.clip(samples, -6.0, np.inf))) == [("warning", "clipping")]
    assert codes(waveform_findings(np.clip(samples, -np.inf, 6.0))) == [("warning", "clipping")]
    assert waveform_findings(np.round(samples)) == []
    samples[0, 100] = 1000.0
    assert waveform_findings(samples) == []


def test_short_recordings() -> None:
    samples = RNG.standard_normal((1, 8192))
    assert waveform_findings(samples) == []
    assert codes(waveform_findings(samples[:, 1:])) == [("warning", "too_short")]


def test_copies_are_found() -> None:
    seen: dict[bytes, str] = {}
    samples = RNG.standard_normal((1, 20_000)).astype(np.float32)
    assert list(check_waveform(recording("a", samples), seen)) == []
    (finding,) = check_waveform(recording("b", samples.copy()), seen)
    assert (finding.code, finding.subject, "that of a;" in finding.message) == ("copy", "b", True)


def test_a_group_of_two_labels() -> None:
    mixed = [recording("a", group_id="g"), recording("b", group_id="g", fault_location="ball")]
    found = [finding for finding in check_set(mixed) if finding.code == "group_labels"]
    assert [(finding.severity, finding.subject) for finding in found] == [("error", "g")]
    assert "ball, normal" in found[0].message


def test_normals_at_another_rate() -> None:
    slow = [recording("f0", fault_location="ball"), recording("f1", fault_location="ball")]
    fast = [recording(name, sampling_rate_hz=48_000.0) for name in ("n0", "n1")]
    assert codes(list(check_set(slow + fast))) == [("warning", "normal_rate")]
    assert list(check_set([*slow, *fast, recording("n2")])) == []
    assert codes(list(check_set(slow))) == [("warning", "no_normal")]


def test_lone_specimens_and_gaps() -> None:
    lone = [recording("n"), recording("b0", fault_location="ball"), recording("b1", fault_location="ball")]
    assert [(f.code, f.subject) for f in check_set(lone)] == [("single_group", "normal")]
    bare = [
        recording(name, fault_location=None, shaft_speed_rpm=None, fault_orders=None) for name in ("x", "y")
    ]
    assert codes(list(check_set(bare))) == [
        ("warning", "no_speed"), ("note", "no_bearing"), ("note", "unlabelled"),
    ]  # fmt: skip


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
        assert {code for _, code in codes(check(tmp_path))} == {"single_group", "no_normal"}
        damaged = tmp_path / "recordings" / "cwru_12k_drive_end_ir007_0hp_105.npz"
        damaged.write_bytes(damaged.read_bytes()[:-1000])
        (tmp_path / "recordings" / "cwru_12k_drive_end_b007_0hp_118.npz").unlink()
        errors = [(f.code, f.subject[-3:]) for f in check(tmp_path) if f.severity == "error"]
    assert sorted(errors) == [("checksum", "105"), ("missing_file", "118"), ("unreadable", "105")]

"""Counts and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.describe import describe
from secateur.signals.pictures import draw, examples, fault_lines_hz, picture_recordings
from secateur.signals.readers.archive import load_archive
from secateur.signals.recording import ArraySource, Recording


def recording(name: str, n_samples: int = 12_000, **changes: object) -> Recording:
    rng = np.random.default_rng(len(name))
    settings = {
        "recording_id": name, "source": ArraySource(rng.standard_normal((1, n_samples))), "channels": ("DE",),
        "sampling_rate_hz": 12_000.0, "group_id": name, "dataset": "D", "fault_location": "ball",
        "shaft_speed_rpm": 1790.0, "nominal_speed_rpm": 1800.0, "load": 1.0, "fault_size_mil": 7.0,
    }  # fmt: skip
    return Recording(**{**settings, **changes})


def test_counts_by_class() -> None:
    summary = describe([
        recording("b", 24_000, load=2.0, subset="s"),
        recording("a", group_id="g"),
        recording("c", group_id="g", sampling_rate_hz=6000.0),
        recording("n", fault_location="normal", load=None, fault_size_mil=None),
        recording("u", fault_location=None, dataset="C"),
    ])  # fmt: skip
    assert (summary.recordings, summary.groups, summary.duration_s) == (5, 4, 7.0)
    assert [(c.dataset, c.label, c.recordings) for c in summary.classes] == [
        ("C", "unlabelled", 1), ("D", "normal", 1), ("D", "ball", 3),
    ]  # fmt: skip
    ball = summary.classes[-1]
    assert (ball.duration_s, ball.groups, ball.subsets) == (5.0, ("b", "g"), ("s",))
    assert (ball.sampling_rates_hz, ball.speeds_rpm) == ((6000.0, 12_000.0), (1800.0,))
    assert (ball.loads, ball.fault_sizes_mil) == ((1.0, 2.0), (7.0,))
    assert summary.classes[1].loads == ()


def test_lines_lie_at_orders_times_measured_speed() -> None:
    lines = fault_lines_hz(recording("a", fault_orders=known_bearing("6205"), shaft_speed_rpm=1800.0))
    assert lines["shaft"] == [30.0, 60.0, 90.0]
    assert lines["BPFI"] == pytest.approx([162.457, 324.914, 487.370], abs=0.01)
    assert lines["BPFO"][0] == pytest.approx(107.543, abs=0.01)
    assert list(fault_lines_hz(recording("a"))) == ["shaft"]
    assert fault_lines_hz(recording("a", shaft_speed_rpm=None)) == {}


def test_an_example_is_at_the_usual_rate() -> None:
    fast = recording("a", sampling_rate_hz=48_000.0)
    assert [r.recording_id for r in examples([fast, recording("c"), recording("b")])] == ["b"]


def test_pictures_are_written_whatever_is_unknown(tmp_path: Path) -> None:
    paths = picture_recordings(
        [
            recording("a", fault_orders=known_bearing("6205")),
            recording("b", 3000, fault_location=None, shaft_speed_rpm=None, dataset="my rig"),
            recording("c", 3000, dataset="$\\bad{$"),
            recording("d", 3000, dataset="水泵"),
        ],
        tmp_path / "pictures",
    )
    names = ["d_ball.svg", "my_rig_unlabelled.svg", "$\\bad{$_ball.svg", "水泵_ball.svg"]
    assert sorted(path.name for path in paths) == sorted(names)
    assert sorted((tmp_path / "pictures").glob("*.svg")) == sorted(paths)
    for dataset in ("水泵", "$\\bad{$"):  # as text, whatever fonts matplotlib has
        assert f">{dataset}: ball</text>" in (tmp_path / "pictures" / f"{dataset}_ball.svg").read_text()


@pytest.mark.data
def test_the_inner_race_line_stands_where_it_is_drawn(cwru_dir: Path) -> None:
    (inner,) = [r for r in load_archive(cwru_dir) if r.recording_id.endswith("ir007_0hp_105")]
    envelope = draw(inner).axes[2]
    (curve,) = [line for line in envelope.lines if len(line.get_xdata()) > 2]
    strongest_hz = curve.get_xdata()[np.argmax(curve.get_ydata())]
    assert strongest_hz == pytest.approx(fault_lines_hz(inner)["BPFI"][0], rel=0.01)

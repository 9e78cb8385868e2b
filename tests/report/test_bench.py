"""A measurement as pictures and as a section of the report."""

from __future__ import annotations

import copy
import json
from xml.etree import ElementTree

import pytest

from secateur.core.errors import CheckpointError
from secateur.report.bench import bench_section
from secateur.report.figures.bench import milliseconds, ratio_figure, write_bench_figures
from secateur.report.page import write_report


def model(name, ms, mib):
    return {
        "name": name,
        "kind": "bundle",
        "stored_bytes": int(1e6 * ms),
        "cold_starts_s": [1.5, 0.5, 0.7],
        "wall_ms": {"p50": ms, "p90": 1.5 * ms, "p99": 3 * ms},
        "cpu_ms": {"p50": 0.9 * ms},
        "wall_quantiles_ms": [ms * (0.5 + number / 50) for number in range(101)],
        "memory": {
            "imported": 60 * 2**20,
            "loaded": mib * 2**20,
            "steady": mib * 2**20,
            "peak": (mib + 5) * 2**20,
        },
        "roofline": {"share": 0.71},
        "energy": {"state": "unavailable", "joules": None, "note": "no counter"},
    }


def compared(base, name):
    ratio = {"value": 12.25, "low": 11.9, "high": 12.8, "turns": 30}
    return {
        "base": base,
        "model": name,
        "wall": ratio,
        "cpu": ratio,
        "stored": 10.0,
        "peak": 4.5,
        "above_import": 9.0,
    }


@pytest.fixture
def measured():
    return {
        "threads": 1,
        "notes": ["energy is not measured: no counter"],
        "provenance": {"machine": {"cpu_count": 2}},
        "groups": [
            {
                "tokens": None,
                "models": [model("dense", 20.0, 400), model("cut", 2.0, 80)],
                "comparisons": [compared("dense", "cut")],
            }
        ],
    }


def test_pictures_are_drawn_as_png_and_svg_and_alike_each_time(measured, tmp_path):
    paths = write_bench_figures(measured, tmp_path)
    names = [f"{name}.{end}" for name in ("latency", "memory", "ratios") for end in ("png", "svg")]
    assert [path.name for path in paths] == names
    first = (tmp_path / "ratios.svg").read_bytes()
    write_bench_figures(measured, tmp_path)
    assert (tmp_path / "ratios.svg").read_bytes() == first
    ElementTree.fromstring(first)


def test_tokens_are_named_and_what_was_not_measured_is_not_drawn(measured, tmp_path):
    group = measured["groups"][0]
    group["tokens"], group["comparisons"] = 64, []
    for entry in group["models"]:
        entry["memory"] = None
    names = {path.name for path in write_bench_figures(measured, tmp_path)}
    assert names == {"latency_64_tokens.png", "latency_64_tokens.svg"}


def test_ratios_are_of_the_first_base_only(measured):
    group = copy.deepcopy(measured["groups"][0])
    group["comparisons"] += [compared("cut", "dense")]
    axes = ratio_figure(group).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cut"]


def test_the_section_holds_the_figures(measured):
    (group,) = bench_section(measured)["groups"]
    assert group["models"][0]["cold_start"] == "0.70 s"
    assert group["models"][1]["peak"] == "85 MiB"
    assert group["comparisons"][0]["cpu"] == "12.2× (11.9 to 12.8)"
    assert all(address.startswith("data:image/svg+xml;base64,") for address in group["pictures"].values())
    assert bench_section(None) is None


def test_a_run_folder_shows_its_measurement(run_folder, measured):
    assert "On one machine" not in write_report(run_folder).read_text()
    (run_folder / "bench").mkdir()
    (run_folder / "bench" / "bench.json").write_text(json.dumps(measured))
    page = write_report(run_folder).read_text()
    assert "On one machine" in page
    assert "Energy is not measured: no counter." in page
    assert "12.2× (11.9 to 12.8)" in page
    (run_folder / "bench" / "bench.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"bench\.json"):
        write_report(run_folder)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.14042, "0.14"), (2.918, "2.92"), (999.4, "999"), (999.6, "1000"), (1113.4, "1113")],
)
def test_times_are_written_without_powers_of_ten(value, written):
    assert milliseconds(value) == written

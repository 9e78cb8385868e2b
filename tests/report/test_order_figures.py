"""Pictures of a comparison of orders show the figures that they are given."""

from __future__ import annotations

import copy

import pytest

from secateur.report.figures.information_curves import information_curves
from secateur.report.figures.order_comparison import order_comparison
from secateur.report.figures.order_pictures import write_order_pictures
from secateur.report.figures.order_staleness import staleness_matrices

ACCURACIES = {"layers-groups-channels": (0.8, 0.82), "joint": (0.6, 0.7)}


def place(name, index, share):
    return {"place": name, "index": index, "usable": {"share": share}, "kernel": {"cka": share / 2}}


def model(name, layers):
    places = [place("input", None, 0.1), *(place(f"layer {i}", i, 0.2 + 0.1 * i) for i in layers)]
    return {"model": name, "layers": layers, "places": [*places, place("head", None, 0.9)]}


@pytest.fixture
def result():
    arms = {
        name: {
            figure: {"mean": sum(values) / 2, "interval": [values[0], values[1]]}
            for figure in ("accuracy", "kl")
        }
        for name, values in ACCURACIES.items()
    }
    return {
        "settings": {"backbone": "mini-gqa", "ratio": 8.0},
        "split": {"protocol": "load"},
        "seeds": [
            {
                "arms": {
                    name: {"accuracy": values[seed], "kl": values[seed]}
                    for name, values in ACCURACIES.items()
                },
                "information": [model("dense", [0, 1, 2]), model("layers", [0, 2])],
            }
            for seed in (0, 1)
        ],
        "summary": {
            "arms": arms,
            "reference": {"accuracy": {"mean": 0.9}},
            "tests": {figure: [{"name": "joint", "t_p_holm": 0.0213}] for figure in ("accuracy", "kl")},
            "staleness": {
                "matched": [
                    {"stage": "layers", "of": "channel", "mean": 0.42, "interval": [0.3, 0.5], "noise": 0.07}
                ],
                "cascade": [],
            },
            "violations": {name: {"steps": 14, "violations": 3} for name in ("usable", "kernel")},
        },
    }


def test_every_seed_and_mean_and_p_value_is_in_the_comparison(result):
    accuracy, kl = order_comparison(result).axes
    xs = [tuple(line.get_xdata()) for line in accuracy.lines]
    assert pytest.approx((80.0, 82.0)) in xs
    assert any(len(x) == 1 and x[0] == pytest.approx(65.0) for x in xs)
    assert "p = 0.021" in [text.get_text() for text in accuracy.texts]
    assert accuracy.get_yticklabels()[0].get_text() == "layers → groups → channels"
    assert kl.get_xlabel().startswith("KL")


def test_the_matrix_says_value_interval_and_noise_and_leaves_gaps_open(result):
    axes = staleness_matrices(result).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert "0.42" in texts
    assert "0.30 to 0.50\nnoise 0.07" in texts
    assert texts.count("no value") == 8
    assert axes.images[0].get_array()[0, 2] == pytest.approx(0.42)


def test_a_removed_layer_leaves_a_gap_in_the_curve(result):
    axes = information_curves(result).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines["dense"].get_xdata()) == [-1, 0, 1, 2, 3]
    assert list(lines["after layers"].get_xdata()) == [-1, 0, 2, 3]
    assert list(lines["after layers"].get_ydata()) == pytest.approx([10, 20, 40, 90])


def test_nothing_to_show_gives_no_picture(result, tmp_path):
    empty = copy.deepcopy(result)
    empty["summary"]["arms"] = {}
    empty["summary"]["staleness"] = {"matched": [], "cascade": []}
    for seed in empty["seeds"]:
        seed["information"] = []
    assert write_order_pictures(empty, tmp_path) == []


def test_the_same_result_gives_the_same_files(result, tmp_path):
    for name in ("a", "b"):
        assert len(write_order_pictures(result, tmp_path / name)) == 6
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

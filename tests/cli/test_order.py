"""``secateur order`` from the command line."""

from __future__ import annotations

import json

import pytest

from secateur.cli.app import run
from secateur.cli.order_tables import print_order


@pytest.mark.long
@pytest.mark.slow
def test_it_prints_the_result_and_is_a_no_op_when_repeated(small_rig, tmp_path, capfd):
    out = tmp_path / "orders"
    command = [
        *("order", "--data", str(small_rig), "--split", "fault_size:14", "--backbone", "nano-mha"),
        *("--ratio", "1.3", "--seeds", "1", "--snr", "0", "--train-steps", "10", "--recovery-steps", "3"),
        *("--shares", "0,0.4,0.6", "--max-depths", "1", "--probe-steps", "0", "--batch-size", "4"),
        *("--out", str(out)),
    ]
    assert run([*command, "--json"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    result = json.loads(captured.out)
    assert result == json.loads((out / "result.json").read_text())
    assert result["settings"]["recovery_shares"] == [0, 0.4, 0.6]
    stages = result["seeds"][0]["arms"]["layers-groups-channels"]["stages"]
    assert sum(stage["recovery_steps"] for stage in stages) == 3
    written = (out / "result.json").stat().st_mtime_ns

    assert run(command) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert (out / "result.json").stat().st_mtime_ns == written
    assert "nano-mha on fault_size:14 at 1.3x, 1 seed" in text
    assert "C-G-L" in text
    assert f"pictures: {out / 'pictures'}" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shares", "a,b,c"], "write --shares 0.2,0.2,0.6"),
        (["--shares", "0.5,0.5"], "give 3 shares"),
        (["--split", "nonsense"], "nonsense"),
        (["--criterion", "guess"], "unknown criterion 'guess'"),
        (["--ratio", "0.5"], "'--ratio'"),
    ],
)
def test_wrong_use_is_told_in_one_line(options, words, small_rig, tmp_path, capsys):
    assert run(["order", "--data", str(small_rig), "--out", str(tmp_path / "x"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def figures(mean):
    figure = {"mean": mean, "interval": [mean - 0.01, mean + 0.01], "seeds": 5}
    return {"accuracy": figure, "kl": figure, "parameters": {**figure, "mean": 27_000.0}}


LARGEST = {"model": "groups", "why": "computation made it readable."}
PLACES = ("input", "peak", "head", "head_cka")


def outcome(**changes):
    def tested(p_value):
        return {
            "name": "joint",
            "n_seeds": 5,
            "difference": -0.2,
            "t_p_holm": p_value,
            "exact_p_holm": 0.0625,
        }

    summary = {
        "reference": figures(0.9),
        "arms": {"layers-groups-channels": figures(0.8), "joint": figures(0.6), "dense": figures(0.95)},
        "failed": {"channels-groups-layers": "removing layers last leaves too many"},
        "tests": {"accuracy": [tested(0.001)], "kl": [tested(0.3)]},
        "staleness": {"matched": [], "cascade": []},
        "asymmetry": {"matched": [], "cascade": []},
        "information": [{"model": "layers", **{place: figures(0.7)["kl"] for place in PLACES}}],
        "violations": {
            name: {"steps": 36, "violations": 4, "largest": LARGEST} for name in ("usable", "kernel")
        },
    }
    return {
        "settings": {"backbone": "mini-gqa", "ratio": 13.8},
        "split": {"protocol": "load", "leaks": True, "leak_reason": "the same bearing"},
        "seeds": [{}] * 5,
        "summary": {**summary, **changes},
    }


def test_the_tables_say_what_differs_what_failed_and_what_so_few_seeds_can_show(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    staleness = [
        {
            "stage": "layers",
            "of": "channel",
            "mean": 0.5,
            "interval": None,
            "noise": 0.1,
            "beyond_noise": None,
        }
    ]
    pair = {
        "finer": "channel",
        "coarser": "layer",
        "finer_after_coarser": 0.5,
        "coarser_after_finer": 0.6,
        "test": {"difference": -0.1, "n_seeds": 1, "exact_p_value": 1.0},
    }
    print_order(
        outcome(
            staleness={"matched": staleness, "cascade": []}, asymmetry={"matched": [pair], "cascade": []}
        ),
        tmp_path,
    )
    text = " ".join(capsys.readouterr().out.split())
    assert "accuracy differs from coarse-to-fine: joint one-shot, scored on the dense model lower." in text
    assert "KL to dense: no order differs from coarse-to-fine beyond chance." in text
    assert "the exact test gives no p below 0.062" in text
    assert "removing layers last leaves too many" in text
    assert "60.0 % (59.0 to 61.0)" in text
    assert "−20.0 pt" in text
    assert "against what coarse-to-fine supposes (1 seed with both, exact p 1)" in text
    assert "after layers" in text
    assert "70.0 % (69.0 to 71.0)" in text
    assert "at 4 of 36 steps" in text
    assert "the largest, in the model after groups: computation made it readable." in text
    assert "this split leaks: the same bearing" in text

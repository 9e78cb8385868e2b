"""A made-up run, complete, in the form in which a real one is written."""

from __future__ import annotations

import json

import numpy as np
import pytest

CLASSES = ["normal", "inner_race", "outer_race", "ball"]
RATE_HZ = 12000.0
SHAFT_HZ = 29.5
ORDERS = np.array([3.585, 5.415, 4.714, 0.398], dtype=np.float32)


def impulses(order, rng, n_samples=8192):
    """Decaying 3.4 kHz bursts at a multiple of the shaft rate, in noise."""
    time_s = np.arange(n_samples) / RATE_HZ
    waveform = 0.3 * rng.standard_normal(n_samples)
    for start_s in np.arange(0.003, time_s[-1], 1 / (order * SHAFT_HZ)) if order else ():
        after = time_s - start_s
        waveform += np.where(after >= 0, np.exp(-700 * after) * np.sin(2 * np.pi * 3400 * after), 0.0)
    waveform -= waveform.mean()
    return (waveform / waveform.std()).astype(np.float32)


def figures(accuracy, parameters, confusion):
    counts = np.array(confusion)
    recalls = np.diag(counts) / counts.sum(axis=1)
    return {
        "parameters": parameters,
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.013,
        "per_class_recall": dict(zip(CLASSES, recalls.tolist(), strict=True)),
        "false_alarm_rate": 1 - recalls[0],
        "ece": 0.021,
        "confusion": confusion,
        "snr_curve": [
            {
                "snr_db": level,
                "accuracy": accuracy - 0.012 * (10 - level) ** 1.1 / 2,
                "macro_f1": accuracy / 2,
            }
            for level in (-10, -6, -2, 2, 6, 10)
        ],
    }


@pytest.fixture
def result():
    return {
        "backbone": "small-mha",
        "classes": CLASSES,
        "seed": 0,
        "ratio": 13.84,
        "dense": figures(0.984, 9474564, [[118, 2, 0, 0], [0, 119, 1, 0], [0, 0, 120, 0], [1, 2, 2, 115]]),
        "pruned": figures(0.979, 684580, [[116, 4, 0, 0], [0, 118, 2, 0], [0, 1, 119, 0], [0, 1, 3, 116]]),
        "fidelity": {"agreement": 0.9873, "kl": 0.0213},
        "split": {
            "protocol": "load",
            "leaks": True,
            "leak_reason": "Specimen ir007 stands in training and in test.",
            "groups": {"train": ["ir007", "or007"], "validation": ["ir007"], "test": ["ir007", "or007"]},
        },
        "parity": {"max_abs_diff": 1.3e-6, "tolerance": 1e-4, "windows": 64},
        "bytes": {"dense": 37898256, "pruned": 2738320},
        "baselines": {
            "forest": {"accuracy": 0.961, "macro_f1": 0.955, "false_alarm_rate": 0.03},
            "fault_line_regression": {"accuracy": 0.842, "macro_f1": 0.8, "false_alarm_rate": 0.08},
            "from_scratch": {
                "parameters": 684580,
                "accuracy": 0.958,
                "macro_f1": 0.95,
                "false_alarm_rate": 0.02,
            },
        },
        "versions": {"python": "3.11.7", "secateur": "0.1.0", "torch": "2.13.0"},
        "provenance": {
            "command": "secateur compress --data simulated --ratio 13.8",
            "machine": {"platform": "Linux", "cpu_count": 2},
            "time_utc": "2026-01-02T03:04:05+00:00",
        },
        "data_sha256": {"ir007_1": "ab" * 32, "or007_1": "cd" * 32},
    }


def _stage(name, number, sizes, shares, **cut):
    figure = [
        {
            "parameters": size,
            "accuracy": share,
            "macro_f1": share,
            "loss": 0.1,
            "agreement": share,
            "kl": 0.02,
        }
        for size, share in zip(sizes, shares, strict=True)
    ]
    return {
        "method": "cascade",
        "stage": name,
        "number": number,
        "removed_layers": cut.get("layers", []),
        "removed_groups": cut.get("groups", 0),
        "removed_channels": cut.get("channels", 0),
        **dict(zip(("before", "after_cut", "after_refit", "after_recovery"), figure, strict=True)),
        "samples_seen": 9600,
        "accepted": True,
        "seconds": 81.4,
    }


@pytest.fixture
def records():
    dense, layers, groups, small = 9474564, 3900000, 2900000, 684580
    return [
        _stage(
            "layers", 1, (dense, layers, layers, layers), (0.984, 0.71, 0.93, 0.981), layers=[1, 3, 4, 6, 7]
        ),
        _stage("groups", 2, (layers, groups, groups, groups), (0.981, 0.9, 0.96, 0.983), groups=24),
        _stage("channels", 3, (groups, small, small, small), (0.983, 0.52, 0.91, 0.977), channels=5600),
    ]


@pytest.fixture
def plan():
    rng = np.random.default_rng(3)
    kept = {
        0: ([0, 2, 3], 160),
        2: ([1, 5], 128),
        5: ([0, 1, 2, 6, 7], 288),
        8: ([4], 64),
        9: ([0, 7], 192),
        10: ([3], 96),
        11: ([2, 3, 4, 5], 352),
    }
    return {
        "version": 1,
        "family": "gpt2",
        "shape": {
            "n_layers": 12,
            "heads_per_layer": [8] * 12,
            "kv_groups_per_layer": [8] * 12,
            "channels_per_layer": [1024] * 12,
        },
        "layers": [
            {
                "index": index,
                "groups": groups,
                "channels": sorted(rng.choice(1024, width, replace=False).tolist()),
            }
            for index, (groups, width) in kept.items()
        ],
    }


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    orders = (0.0, ORDERS[1], ORDERS[0], ORDERS[2])
    says = np.full((4, 4), 0.02) + 0.92 * np.eye(4)
    return {
        "waveform": np.stack([impulses(order, rng) for order in orders]),
        "sampling_rate_hz": np.array(RATE_HZ),
        "shaft_rate_hz": np.full(4, SHAFT_HZ, dtype=np.float32),
        "fault_orders": np.tile(ORDERS, (4, 1)),
        "label": np.arange(4),
        "classes": np.array(CLASSES),
        "recording_id": np.array(["n_0", "ir007_1", "or007_1", "b007_1"]),
        "dense_probabilities": says,
        "pruned_probabilities": says[:, ::-1],
    }


@pytest.fixture
def run_folder(tmp_path, result, records, plan, examples):
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned" / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    np.savez(tmp_path / "examples.npz", **examples)
    return tmp_path

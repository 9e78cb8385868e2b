"""The files of the device benchmark, on a tiny model: each is written once, runs, and is what it says."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_tokenizers
from secateur.bundle.causal_session import CausalSession
from secateur.core.progress import quiet
from secateur.export.causal_cache import causal_model
from secateur.export.gguf_tokenizer import gguf_tokenizer
from secateur.export.onnx import frozen_copy
from secateur.models.pretrained import open_pretrained
from tiny_causal_bundles import uneven_llama
from tiny_gguf import tiny_llama

gguf = pytest.importorskip("gguf")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
files = importlib.import_module("smollm2_device_files")
tables = importlib.import_module("smollm2_device_tables")

TOKENS = np.array([[5, 200, 7, 400, 33, 77]])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every file of the uneven Llama."""
    folder = tmp_path_factory.mktemp("files")
    causal = causal_model(frozen_copy(uneven_llama()[0]))
    told = gguf_tokenizer(tiny_tokenizers.gpt2(), vocabulary=causal.vocabulary)
    with quiet():
        plain = files.PLAIN.write(causal, told, folder / "plain", None)
        return {
            variant.name: variant.write(causal, told, folder / str(row), plain)
            for row, variant in enumerate(files.VARIANTS)
        }


@pytest.mark.long
@pytest.mark.slow
def test_every_graph_runs_and_fewer_bits_are_smaller(written):
    model = uneven_llama()[0]
    with torch.no_grad():
        expected = model(input_ids=torch.from_numpy(TOKENS)).logits.numpy()
    off, size = {}, {}
    for variant in files.VARIANTS:
        if variant.runtime == "onnx":
            session = CausalSession(written[variant.name])
            logits, _ = session.read(TOKENS, session.start())
            off[variant.name] = float(np.abs(logits - expected).mean())
            size[variant.name] = written[variant.name].stat().st_size
    assert off["ONNX fp32"] < 1e-5
    assert off["ONNX fp32"] < off["ONNX bf16"] < off["ONNX int8"] < off["ONNX int4"]
    assert size["ONNX fp32"] > size["ONNX bf16"] > size["ONNX int8"] > size["ONNX int4"]
    # a block wider than the tiny model's rows rounds as a whole row does, in a larger file
    assert len({(off[name], size[name]) for name in off}) == len(off)


@pytest.mark.long
@pytest.mark.slow
def test_a_file_is_timed_in_a_process_of_its_own(written):
    asked = {
        "runtime": "onnx",
        "path": str(written["ONNX int8"]),
        "prompt": list(range(20)),
        "new_tokens": 4,
    }
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "smollm2_device_worker.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["prefill"]["cpu_s"] > 0
    assert told["decode"]["wall_s"] > 0
    assert 0 < told["start_mib"] < told["peak_mib"]


@pytest.mark.parametrize("precision", ["f16", "q8_0", "q4_0"])
def test_rounded_weights_are_those_of_the_file(precision, tmp_path):
    model = tiny_llama(tied=True)
    causal = causal_model(frozen_copy(model))
    told = gguf_tokenizer(tiny_tokenizers.gpt2(), vocabulary=causal.vocabulary)
    variant = files.Variant(name="x", runtime="gguf", precision=precision)
    with quiet():
        path = variant.write(causal, told, tmp_path / "out", None)
        read = dict(open_pretrained(path).model.named_parameters())
    for name, parameter in files.rounded(causal.model, precision).named_parameters():
        torch.testing.assert_close(parameter, read[name], rtol=0, atol=0)


def test_the_page_shows_medians_of_processor_time():
    cell = {
        "model": "dense",
        "file": "ONNX fp32",
        "perplexity": 12.0,
        "over_fp32": 1.0,
        "over_fp32_interval": (0.99, 1.01),
        "same_favourite": 0.995,
        "greedy": 1.0,
        "file_bytes": 5_000_000,
    }
    turns = [
        {
            "model": "dense",
            "file": "ONNX fp32",
            "prefill": {"cpu_s": 100.0 * speed, "wall_s": 1.0},
            "decode": {"cpu_s": 10.0 * speed, "wall_s": 1.0},
            "peak_mib": 300.0,
        }
        for speed in (1, 2, 9)
    ]
    shown = tables.page(
        {
            "share": 0.3,
            "method": "surgeon",
            "note": "Nothing else ran.",
            "evaluation_tokens": 8192,
            "parameters": {"dense": 134_500_000},
            "quality": [cell],
            "turns": turns,
        }
    )
    assert "| ONNX fp32 | 5 | 1.0000 (0.9900 to 1.0100) | 99.5% | 100% | 200 | 20.0 | 300 |" in shown
    assert "Nothing else ran." in shown
    assert "134.5 M parameters, perplexity 12.00" in shown

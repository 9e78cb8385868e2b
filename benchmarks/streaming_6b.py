"""Cut a 6.25-billion-parameter checkpoint within 4 GiB of memory, and measure what it took.

A GLM-shaped model (28 layers, 2 KV groups, bfloat16, about 12.5 GB) with random weights is written shard
by shard, ``secateur prune --max-memory`` cuts it in a process of its own, and the peak memory that the system
saw of that process, its time and its traffic go to ``benchmarks/results/streaming_6b.json`` and ``.md``. The
checkpoints are removed at the end. Random weights say nothing about quality: this measures memory and time.

    OMP_NUM_THREADS=2 python benchmarks/streaming_6b.py --work DIR
"""

from __future__ import annotations

import argparse
import json
import os
import pydoc_data.topics
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GlmConfig, GlmForCausalLM, PreTrainedTokenizerFast

from secateur.core.memory import in_words
from secateur.core.records import write_json
from secateur.models.shard_writing import NAMES, PIECE_BYTES, write_shard
from secateur.models.shards import INDEX

RESULTS = Path(__file__).parent / "results"
DENSE, PRUNED, TEXT = "dense", "pruned", "text.txt"
SHARD_BYTES = 2 * 10**9
SIX_BILLION = {
    "hidden_size": 4096,
    "num_hidden_layers": 28,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "intermediate_size": 13696,
    "vocab_size": 65024,
}
SMALL = SIX_BILLION | {"hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 64,
                       "intermediate_size": 768, "vocab_size": 1024}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RandomTensor:
    """A tensor of random numbers that is made while it is written.

    Each piece is a stretch of one pool of normal numbers that begins at a random place: drawing billions of
    numbers would take longer than cutting.

    Attributes
    ----------
    shape : tuple of int
    centre, spread : float
        Mean and standard deviation.
    seed : int
    """

    shape: tuple[int, ...]
    centre: float
    spread: float
    seed: int
    dtype: str = NAMES[torch.bfloat16]

    @property
    def nbytes(self) -> int:
        """Bytes in all."""
        return 2 * prod(self.shape)

    def pieces(self) -> Iterator[memoryview]:
        """Yield the bytes in order."""
        draw = torch.Generator().manual_seed(self.seed)
        numbers = pool()
        left = prod(self.shape)
        while left:
            size = min(left, PIECE_BYTES // 2)
            begin = int(torch.randint(len(numbers) - size + 1, (), generator=draw))
            part = numbers[begin : begin + size] * self.spread + self.centre
            yield memoryview(part.view(torch.uint8).numpy())
            left -= size


@cache
def pool() -> torch.Tensor:
    """Return the numbers that all weights are made of."""
    return torch.randn(2**25, generator=torch.Generator().manual_seed(0)).bfloat16()


def write_model(folder: Path, sizes: dict[str, int]) -> int:
    """Write a checkpoint of random weights in bounded memory; return its parameters."""
    folder.mkdir(parents=True)
    config = GlmConfig(
        **sizes, max_position_embeddings=8192, pad_token_id=0, eos_token_id=1, dtype="bfloat16"
    )
    config.architectures = ["GlmForCausalLM"]
    config.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    with init_empty_weights():
        shapes = {name: tuple(tensor.shape) for name, tensor in GlmForCausalLM(config).state_dict().items()}
    shards: list[dict[str, RandomTensor]] = [{}]
    for number, (name, shape) in enumerate(shapes.items()):
        tensor = RandomTensor(
            shape=shape, seed=number, **distribution(name, shape, sizes["num_hidden_layers"])
        )
        if sum(entry.nbytes for entry in shards[-1].values()) + tensor.nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
        shards[-1][name] = tensor
    placed = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(folder / file, shard)
        placed |= dict.fromkeys(shard, file)
        print(f"wrote {file}", flush=True)
    total = sum(2 * prod(shape) for shape in shapes.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": placed})
    return sum(map(prod, shapes.values()))


def distribution(name: str, shape: tuple[int, ...], layers: int) -> dict[str, float]:
    """Mean and spread that keep activations near one: 1/sqrt(inputs), less where branches are added up."""
    if "norm" in name:
        return {"centre": 1.0, "spread": 0.1}
    if len(shape) == 1:
        return {"centre": 0.0, "spread": 0.02}
    if "embed" in name:
        return {"centre": 0.0, "spread": 1.0}
    branch = name.endswith(("o_proj.weight", "down_proj.weight"))
    return {"centre": 0.0, "spread": shape[1] ** -0.5 * ((2 * layers) ** -0.5 if branch else 1.0)}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def prune(given: argparse.Namespace) -> dict[str, Any]:
    """Run ``secateur prune`` in a process of its own, in the work folder; return what it says."""
    command = [
        sys.executable, "-m", "secateur", "prune", DENSE, "--out", PRUNED,
        "--criterion", "activation",
        "--calibration", TEXT, "--ratio", str(given.ratio), "--uniform",
        "--max-memory", given.max_memory,
        "--calibration-blocks", str(given.blocks), "--json",
    ]  # fmt: skip
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=given.work) as process:
        assert process.stdout is not None
        spoken = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"secateur prune ended with {process.returncode}")
    result = json.loads(spoken)
    result["process"] = {
        "wall_seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    return result


def report(result: dict[str, Any], model_bytes: int) -> dict[str, Any]:
    """Choose what is kept of a run."""
    streaming, process = result["streaming"], result["process"]
    return {
        "dense_parameters": result["dense"]["parameters"],
        "dense_bytes": model_bytes,
        "pruned_parameters": result["pruned"]["parameters"],
        "pruned_bytes": result["pruned"]["bytes"],
        "ratio": result["ratio"],
        "channels": result["pruned"]["channels"][0],
        "form": result["form"],
        "scored_blocks": result["settings"]["text"]["data"]["blocks"],
        "refit_blocks": result["refit"]["windows"],
        "projections_refitted": result["refit"]["adopted"],
        "residuals": [
            [projection["residual_before"], projection["residual_after"]]
            for projection in result["refit"]["projections"]
        ],
        "max_memory_bytes": streaming["max_memory_bytes"],
        "estimated_bytes": streaming["estimated_bytes"],
        "peak_bytes": streaming["peak_bytes"],
        "blocks_at_once": streaming["blocks_at_once"],
        "read_bytes": streaming["read_bytes"],
        "written_bytes": streaming["written_bytes"],
        **process,
        "threads": int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())),
        "provenance": result["provenance"],
    }


def as_markdown(found: dict[str, Any]) -> str:
    rows = {
        "parameters, dense": f"{found['dense_parameters']:,}",
        "parameters, cut": f"{found['pruned_parameters']:,} ({found['ratio']:.3f}x fewer)",
        "weights, dense": in_words(found["dense_bytes"]),
        "weights, cut": in_words(found["pruned_bytes"]),
        "limit (`--max-memory`)": in_words(found["max_memory_bytes"]),
        "estimate before the start": in_words(found["estimated_bytes"]),
        "peak resident memory (VmHWM)": f"**{in_words(found['peak_bytes'])}**",
        "time": f"{found['wall_seconds'] / 60:.1f} min wall, {found['cpu_seconds'] / 60:.1f} min processor "
        f"({found['threads']} threads)",
        "read, written (page cache included)": f"{in_words(found['read_bytes'])}, "
        f"{in_words(found['written_bytes'])}",
        "calibration": f"{found['scored_blocks']} blocks of 256 tokens to score on, "
        f"{found['refit_blocks']} to re-fit on",
        "output projections re-fitted": f"{found['projections_refitted']}",
        "folder": f"{found['form']}, {found['channels']} channels in each layer",
    }
    lines = ["# A 6.25-billion-parameter checkpoint within a limit of memory", ""]
    lines += ["GLM shape, random bfloat16 weights; written by `benchmarks/streaming_6b.py`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="Folder for both checkpoints: 25 GB.")
    parser.add_argument("--ratio", type=float, default=1.25)
    parser.add_argument("--max-memory", default="4GiB")
    parser.add_argument("--blocks", type=int, default=2, help="Blocks of 256 tokens to score on.")
    parser.add_argument("--small", action="store_true", help="Try the script on a small model; prints only.")
    parser.add_argument("--keep", action="store_true", help="Keep the checkpoints.")
    given = parser.parse_args()
    model = given.work / DENSE
    if not model.exists():
        write_model(model, SMALL if given.small else SIX_BILLION)
    (given.work / TEXT).write_text("".join(pydoc_data.topics.topics.values()), encoding="utf-8")
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    found = report(prune(given), size)
    print(as_markdown(found))
    if not given.small:
        write_json(RESULTS / "streaming_6b.json", found)
        (RESULTS / "streaming_6b.md").write_text(as_markdown(found), encoding="utf-8")
    if not given.keep:
        shutil.rmtree(given.work)


if __name__ == "__main__":
    main()

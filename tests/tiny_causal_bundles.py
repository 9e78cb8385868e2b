"""Small causal language models with unequal layers, and a bundle of one; needs torch.

python tests/tiny_causal_bundles.py FOLDER    writes a bundle for tests where torch is not installed
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import tiny_tokenizers
from secateur.export.causal_bundle import CausalBundleInfo, write_causal_bundle
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from tiny_gguf import tiny_llama

torch.set_num_threads(1)

PROMPTS = ((5, 200, 7, 400, 33, 77), (1, 2, 3), (899, 450, 450, 12, 600))
NEW_TOKENS = 32


def uneven_llama(*, tied: bool = True) -> tuple[torch.nn.Module, PruningPlan]:
    """Return a Llama whose layers differ in groups and channels, and the plan that cut it."""
    model = tiny_llama(tied=tied)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_groups(0, [1])
    plan = plan.with_channels(1, range(3, 43))
    return apply(model, plan).eval(), plan


def write_tiny_causal_bundle(folder: Path, **more: object) -> CausalBundleInfo:
    """Write the bundle of :func:`uneven_llama` with its tokenizer."""
    model, plan = uneven_llama()
    given = {"name": "tiny", "plan": plan, "tokenizer": tiny_tokenizers.gpt2(), "new_tokens": NEW_TOKENS}
    return write_causal_bundle(model, PROMPTS, folder, **{**given, **more})


if __name__ == "__main__":
    write_tiny_causal_bundle(Path(sys.argv[1]))

"""Write ``docs/families.md`` from the specifications, or check that it still agrees with them.

python docs/make_families.py            writes the page
python docs/make_families.py --check    exits with 1 if the page is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from secateur.structure.limits import plain_cuts
from secateur.structure.spec import ArchitectureSpec, StackSpec, known_specs

PAGE = Path(__file__).with_name("families.md")
INTRODUCTION = """\
# Model families

Written by `python docs/make_families.py` from the specifications; do not edit by hand.
[add_architecture.md](add_architecture.md) tells how to add one.

Layers, FFN channels and attention heads of every family can be cut; with shared keys and values whole KV
groups, and query heads inside them. "Plain folder" names what may be cut to equal widths in all layers and
still be written as a folder that `transformers` loads by itself; anything else is loaded with
`secateur.load`. Heads and groups are plain where the configuration has a width of heads of its own: elsewhere
it is hidden over heads, which a cut of heads would change. ModernBERT without its first layer, which alone
has no norm in front, is loaded with `secateur.load` too. "Not covered" names variants that are refused;
families without calibration are cut by magnitude, or by scores of your own through the Python interface.

| family | `model_type` | attention | FFN | matrices | also handled | plain folder | not covered |
|---|---|---|---|---|---|---|---|
"""
CROSS_ATTENTION = "`add_cross_attention`"
MIXTURE = "`--max-memory`"
NOT_COVERED = {
    "bert": CROSS_ATTENTION,
    "bloom": "`apply_residual_connection_post_layernorm`",
    "cohere": "`use_qk_norm`",
    "deberta_v2": "position projections of their own; a convolution behind the first layer",
    "gemma3": "images",
    "gpt2": CROSS_ATTENTION,
    "mixtral": MIXTURE,
    "modernbert": "`norm_bias`",
    "olmoe": MIXTURE,
    "opt": "`layer_norm_elementwise_affine` false",
    "opt_post": "`layer_norm_elementwise_affine` false",
    "qwen3_moe": f"{MIXTURE}; blocks without experts (`mlp_only_layers`, `decoder_sparse_step`)",
    "roberta": CROSS_ATTENTION,
    "stablelm": "`qk_layernorm`",
}
"""Variants of a family that its specification does not describe; ``bind`` refuses them."""
CALIBRATION = "calibration"
NOT_TEXT = frozenset({"vit"})


def page() -> str:
    """Return the page."""
    return INTRODUCTION + "".join(f"| {' | '.join(_row(spec))} |\n" for spec in known_specs().values())


def _row(spec: ArchitectureSpec) -> list[str]:
    types = ", ".join(f"`{name}`" for name in spec.model_types)
    if spec.when:
        conditions = ", ".join(f"{name} {str(value).lower()}" for name, value in spec.when.items())
        types += f" ({conditions})"
    stacks = spec.stacks
    refused = [NOT_COVERED[spec.family]] if spec.family in NOT_COVERED else []
    steps = [CALIBRATION] if len(stacks) > 1 or spec.family in NOT_TEXT else []
    return [
        spec.family,
        types,
        _attention(spec),
        _ffn(spec),
        _matrices(stacks[-1]),
        "; ".join(dict.fromkeys(note for stack in stacks for note in _notes(stack))) or "-",
        ", ".join(plain_cuts(spec)),
        "; ".join(refused + steps) or "-",
    ]


def _attention(spec: ArchitectureSpec) -> str:
    kind = "shared keys" if "groups" in spec.stock or spec.family.endswith("_mqa") else "multi-head"
    return f"{kind}, encoder and decoder" if len(spec.stacks) > 1 else kind


def _ffn(spec: ArchitectureSpec) -> str:
    if any(stack.ffn.mixture for stack in spec.stacks):
        return "experts, gated"
    return "gated" if spec.is_gated else "plain"


def _matrices(stack: StackSpec) -> str:
    fused = [
        f"{' '.join(projection.roles)} {projection.layout}"
        for projection in stack.projections
        if projection.layout != "separate"
    ]
    turned = ["stored (in, out)"] if any(p.orientation == "conv1d" for p in stack.projections) else []
    return "; ".join(fused + turned) or "separate"


def _notes(stack: StackSpec) -> list[str]:
    sizes = {norm.size for norm in stack.norms}
    found = {
        "cross-attention": stack.cross_attention is not None,
        "norms on the stream": stack.residual == "post",
        "norms on queries and keys": "head_dim" in sizes,
        "norms over all queries and keys": bool(sizes & {"q", "k"}),
        "four norms a block": len(stack.norms) - len(sizes - {"hidden"}) * 2 >= 4
        and not any(norm.optional for norm in stack.norms),
        "ALiBi": bool(stack.attention.head_inputs),
        "layer types": bool(stack.per_layer),
    }
    return [note for note, holds in found.items() if holds]


def main() -> int:
    """Write or check the page; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE} is out of date; run: python docs/{Path(__file__).name}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

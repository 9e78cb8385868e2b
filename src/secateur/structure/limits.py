"""What can be cut of a model and what cannot, why, and how far."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.structure.budget import smallest_parameters
from secateur.structure.counting import shape_parameters
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ArchitectureSpec


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Whether one part of a model can be cut.

    Parameters
    ----------
    part : str
        In words.
    cuttable : bool
    reason : str
        How far, or why not.
    """

    part: str
    cuttable: bool
    reason: str


def limits(spec: ArchitectureSpec, shape: ModelShape) -> tuple[Limit, ...]:
    """Return what can be cut, coarse to fine, then what cannot.

    Parameters
    ----------
    spec : ArchitectureSpec
        The family.
    shape : ModelShape
        Widths of the model.
    """
    stacks = len(shape.stack_sizes)
    whole = "each layer keeps at least one"
    can: list[tuple[str, str]] = []
    fixed: list[tuple[str, str]] = []
    of_stacks = "each stack keeps at least one" if stacks > 1 else "at least one stays"
    (can if shape.n_layers > stacks else fixed).append(("layers", of_stacks))
    several = any(groups > 1 for groups in shape.kv_groups_per_layer)
    name = "KV groups" if shape.shares_keys else "attention heads"
    (can if several else fixed).append((name, whole if several else "there is one a layer, and it stays"))
    if shape.shares_keys:
        can.append(("query heads inside KV groups", "each group of a layer keeps the same number"))
    if any(shape.cross_groups_per_layer):
        can.append(("cross-attention groups", whole))
    can.append(("FFN channels", whole))
    if shape.vocabulary:
        can.append(("vocabulary rows", "those that the corpus does not use, with the tokenizer"))
    fixed += [
        ("hidden width", "every block adds to one residual stream, so all matrices share it"),
        ("head width", "positions and the scale of the attention are made for it"),
        ("norms, output biases", "they belong to the layer and leave with it"),
    ]
    if shape.has_experts:
        fixed.append(("experts and their router", "the channels inside each expert are cut instead"))
    if any(norm.size == "head_dim" for stack in spec.stacks for norm in stack.norms):
        fixed.append(("head norms", "one weight serves all heads"))
    return tuple(
        Limit(part=part, cuttable=cuttable, reason=reason)
        for cuttable, entries in ((True, can), (False, fixed))
        for part, reason in entries
    )


def largest_ratio(spec: ArchitectureSpec, shape: ModelShape, *, cut_heads: bool) -> float:
    """Return dense over remaining parameters of the smallest cut: one layer a stack, one unit of each kind.

    The vocabulary stays whole.
    """
    smallest = smallest_parameters(spec.family, shape, cut_heads=cut_heads)
    return shape_parameters(spec.family, shape) / smallest


def plain_cuts(spec: ArchitectureSpec) -> tuple[str, ...]:
    """Return which cuts, equal in all layers, the family's own configuration can tell as a rule.

    A model with no other cuts is saved as a folder that ``transformers`` loads by itself. Saving tries it and
    has the last word.
    """
    cuts = ["layers"]
    if {"heads", "head_dim"} <= set(spec.stock):
        cuts.append("heads")
        if "groups" in spec.stock:
            cuts.append("groups")
    if "channels" in spec.stock:
        cuts.append("channels")
    return tuple(cuts)

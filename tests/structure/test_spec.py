"""Specifications: every shipped file is valid, contradictions are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from secateur.core.errors import UnsupportedArchitecture
from secateur.structure.spec import ArchitectureSpec, ProjectionSpec, known_specs, load_spec


def test_shipped_families():
    assert set(known_specs()) == {"gpt2", "llama"}
    assert load_spec("llama").is_gated
    assert not load_spec("gpt2").is_gated


def test_unknown_family_names_those_that_exist():
    with pytest.raises(UnsupportedArchitecture, match=r"'mamba'.*gpt2, llama"):
        load_spec("mamba")


@pytest.mark.parametrize(
    ("role", "orientation", "axis"),
    [("up", "linear", 0), ("up", "conv1d", 1), ("down", "linear", 1), ("down", "conv1d", 0)],
)
def test_unit_axis(role, orientation, axis):
    projection = ProjectionSpec(module="m", roles=(role,), orientation=orientation, layout="separate")
    assert projection.unit_axis == axis
    assert projection.bias_follows_units == (role == "up")


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(colour="red"),
        lambda value: value["ffn"]["projections"].pop(),
        lambda value: value["attention"]["attributes"].update(num_heads="noses"),
        lambda value: value["attention"]["projections"][0].update(layout="separate"),
        lambda value: value["attention"]["projections"][0].update(roles=["q", "k", "o"]),
        lambda value: value["attention"]["projections"].append(value["ffn"]["projections"].pop(0)),
    ],
)
def test_contradictory_specifications_are_refused(change):
    value = load_spec("gpt2").model_dump(mode="json")
    ArchitectureSpec.model_validate(value)
    for part in ("attention", "ffn"):
        value[part]["projections"] = list(value[part]["projections"])
    change(value)
    with pytest.raises(ValidationError):
        ArchitectureSpec.model_validate(value)

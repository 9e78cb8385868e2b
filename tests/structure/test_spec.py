"""Specifications: every shipped file is valid, contradictions are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from secateur.core.errors import UnsupportedArchitecture
from secateur.structure.spec import ArchitectureSpec, ProjectionSpec, known_specs, load_spec, spec_for


def test_shipped_families():
    assert {"gpt2", "llama"} <= set(known_specs())
    assert load_spec("llama").is_gated
    assert not load_spec("gpt2").is_gated


def test_unknown_family_names_those_that_exist():
    with pytest.raises(UnsupportedArchitecture, match=r"'mamba'.*gpt2.*llama"):
        load_spec("mamba")


def test_unknown_model_type_names_those_that_exist_and_how_to_add_one():
    with pytest.raises(UnsupportedArchitecture, match=r"'mamba'.*gpt2.*add_architecture"):
        spec_for("mamba", lambda name: None)


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
        lambda value: value["stacks"].clear(),
        lambda value: value["stacks"][0]["ffn"]["projections"].pop(),
        lambda value: value["stacks"][0]["attention"]["attributes"].update(num_heads="noses"),
        lambda value: value["stacks"][0]["attention"]["projections"][0].update(layout="separate"),
        lambda value: value["stacks"][0]["attention"]["projections"][0].update(roles=["q", "k", "o"]),
        lambda value: value["stacks"][0]["attention"]["projections"].append(
            value["stacks"][0]["ffn"]["projections"].pop(0)
        ),
    ],
)
def test_contradictory_specifications_are_refused(change):
    value = load_spec("gpt2").model_dump(mode="json")
    ArchitectureSpec.model_validate(value)
    change(value)
    with pytest.raises(ValidationError):
        ArchitectureSpec.model_validate(value)

"""A block called with what was caught does what it does inside its model."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import bind
from secateur.models.block_inputs import block_inputs
from zoo import ZOO, Specimen

OF_TOKENS = [entry for entry in ZOO if entry.inputs == "tokens"]


@pytest.mark.parametrize("specimen", OF_TOKENS, ids=lambda entry: entry.name)
def test_blocks_run_one_by_one_give_what_the_model_gives(specimen: Specimen):
    model = specimen.build()
    bound = bind(model)
    tokens = specimen.batch(length=9)["input_ids"]
    expected = {}
    for layer in bound.layers:
        layer.module.register_forward_hook(
            lambda _module, _args, output, index=layer.index: expected.update({index: output})
        )
    with torch.no_grad():
        bound.base(input_ids=tokens, use_cache=False)
        outputs, expected = expected, {}
        found = block_inputs(bound, tokens)
        stream = found.stream
        for layer, call in zip(bound.layers, found.calls, strict=True):
            stream = call.run(layer.module, stream)
            output = outputs[layer.index]
            assert torch.equal(stream, output[0] if isinstance(output, tuple) else output)


def test_blocks_need_no_weights_to_be_caught():
    specimen = next(entry for entry in ZOO if entry.name == "gemma2")
    model = specimen.build()
    bound = bind(model)
    tokens = specimen.batch(length=9)["input_ids"]
    expected = block_inputs(bound, tokens)
    for layer in bound.layers:
        layer.module.to("meta")
    found = block_inputs(bound, tokens)
    assert torch.equal(found.stream, expected.stream)
    assert len(found.tensors()) == len(expected.tensors()) > 0
    assert all(map(torch.equal, found.tensors(), expected.tensors()))
    assert bind(model).layers[0].module.self_attn.q_proj.weight.is_meta


def test_equal_arguments_are_held_once():
    specimen = next(entry for entry in ZOO if entry.name == "llama")
    bound = bind(specimen.build())
    tokens = specimen.batch(length=9)["input_ids"]
    first = block_inputs(bound, tokens)
    second = block_inputs(bound, tokens.flip(1)).sharing(first)
    assert {id(tensor) for tensor in second.tensors()} == {id(tensor) for tensor in first.tensors()}
    other = block_inputs(bound, tokens[:, :5]).sharing(first)
    assert not {id(tensor) for tensor in other.tensors()} & {id(tensor) for tensor in first.tensors()}


def test_models_of_two_stacks_are_refused():
    specimen = next(entry for entry in ZOO if entry.family == "whisper")
    with pytest.raises(UnsupportedArchitecture, match=r"2 stacks"):
        block_inputs(bind(specimen.build()), torch.ones(1, 3, dtype=torch.long))

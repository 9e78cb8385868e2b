"""What a configuration tells of the longest text."""

from __future__ import annotations

import pytest
import torch

from secateur.models.attributes import most_tokens
from zoo import ZOO

SPECIMENS = {specimen.name: specimen for specimen in ZOO}


@pytest.mark.parametrize(
    ("name", "most"), [("llama", 64), ("mpt", 64), ("gpt2", 64), ("roberta", 63), ("bloom", None)]
)
def test_the_longest_text_that_a_model_takes_is_run(name, most):
    model = SPECIMENS[name].build()
    assert most_tokens(model) == most
    if most is not None:
        with torch.no_grad():
            assert model(input_ids=torch.full((1, most), 5)).logits.shape[1] == most


def test_mpt_takes_no_more_than_it_has_position_biases_for():
    model = SPECIMENS["mpt"].build()
    with pytest.raises(RuntimeError, match="must match the size"):
        model(input_ids=torch.full((1, 65), 5))

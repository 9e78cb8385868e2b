"""Each role is what its name says: two roles of a fused matrix that change places are cut alike.

So no comparison of a cut model with a masked one can tell them apart; scores, re-fit and reports could.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

from secateur.models.binding import BoundLayer, bind
from secateur.structure.closure import role_features
from secateur.structure.spec import OUTPUT_ROLE, Role, WidthKind
from zoo import ZOO, Specimen

PLACE = 3
"""A token with some before and some after it."""

FIRST_LAYERS = [
    pytest.param(specimen, layer, id=f"{specimen.name}-{layer}")
    for specimen in ZOO
    for layer in ((0, 2) if specimen.inputs in ("sound", "pairs") else (0,))
]
"""First block of each stack."""


def into_output(
    specimen: Specimen,
    model: nn.Module,
    layer: BoundLayer,
    kind: WidthKind,
    changes: dict[Role, Callable[[Tensor], Tensor]],
) -> Tensor:
    """Input of the output projection of ``kind`` while features of some roles are changed."""
    caught: list[Tensor] = []
    with ExitStack() as undone, torch.no_grad():
        for role, change in changes.items():
            projection = layer.projection(role)
            places = torch.from_numpy(role_features(projection.spec, layer.widths)[role].reshape(-1))

            def changed(_module, _args, output, places=places, change=change):
                return output.index_copy(-1, places, change(output[..., places]))

            undone.callback(projection.module.register_forward_hook(changed).remove)
        catching = layer.output(kind).register_forward_pre_hook(lambda _module, args: caught.append(args[0]))
        undone.callback(catching.remove)
        model(**specimen.batch())
    return caught[0].reshape(2, -1, caught[0].shape[-1])


def at_one_token(features: Tensor) -> Tensor:
    """Shift the features of one token, by another amount for each feature."""
    if features.shape[0] == 1:  # a table of positions, which DeBERTa's queries and keys are made of too
        return features
    changed = features.reshape(2, -1, features.shape[-1]).clone()
    changed[:, PLACE] += torch.linspace(-2.0, 2.0, features.shape[-1])
    return changed.reshape(features.shape)


def doubled(features: Tensor) -> Tensor:
    return 2.0 * features


def differing(found: Tensor, expected: Tensor) -> list[int]:
    """Tokens at which two tensors differ."""
    return (found - expected).abs().amax(dim=(0, 2)).gt(1e-5).nonzero().flatten().tolist()


@pytest.mark.parametrize(("specimen", "index"), FIRST_LAYERS)
def test_queries_ask_keys_answer_and_values_are_added(specimen, index):
    model = specimen.build()
    layer = bind(model).layers[index]
    for kind in layer.kinds:
        if kind == "channel":
            continue
        query, key, value = (("q", "k", "v"), ("cross_q", "cross_k", "cross_v"))[kind == "cross_group"]
        dense = into_output(specimen, model, layer, kind, {})
        asked = into_output(specimen, model, layer, kind, {query: at_one_token})
        answered = into_output(specimen, model, layer, kind, {key: at_one_token})
        assert differing(asked, dense) == [PLACE]
        assert PLACE + 1 in differing(answered, dense)
        torch.testing.assert_close(
            into_output(specimen, model, layer, kind, {value: doubled}),
            2.0 * dense,
            rtol=1e-4,
            atol=1e-5,
        )
        assert not torch.allclose(into_output(specimen, model, layer, kind, {key: doubled}), 2.0 * dense)


@pytest.mark.parametrize(
    "specimen", [s for s in ZOO if bind(s.build()).layers[0].stack.is_gated], ids=lambda s: s.name
)
def test_what_comes_up_is_multiplied_and_only_the_gate_is_bent(specimen):
    model = specimen.build()
    layer = bind(model).layers[0]
    dense = into_output(specimen, model, layer, "channel", {})
    assert dense.shape[-1] == layer.projection(OUTPUT_ROLE["channel"]).unit_features
    up = into_output(specimen, model, layer, "channel", {"up": doubled})
    gate = into_output(specimen, model, layer, "channel", {"gate": doubled})
    torch.testing.assert_close(up, 2.0 * dense, rtol=1e-4, atol=1e-5)
    assert (gate - 2.0 * dense).abs().max() > 1e-2 * dense.abs().max()

"""What a sentence model makes of its pooled embedding: dense layers, norms, the step to length one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from secateur.core.errors import CheckpointError, ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid)
}
"""By the last part of the name in a configuration; a dense layer that names none takes the tangent."""

EMBEDDING = "sentence_embedding"


class Unit(nn.Module):
    """The step to length one."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return embeddings (B, width) at length one."""
        return functional.normalize(embeddings, dim=-1)


def projection_of(modules: Sequence[tuple[str, str]], files: Mapping[str, bytes]) -> nn.Module:
    """Return what follows the pooling, with weights that are not trained.

    A step to length one at the very end is left out, as it keeps the direction.

    Parameters
    ----------
    modules : sequence of (str, str)
        Kind and folder of each module of sentence-transformers, in their order.
    files : mapping of bytes
        Their files, by place.

    Raises
    ------
    CheckpointError
        If a file is missing or does not say what it should.
    ConfigError
        If a dense layer has an activation that is not computed here, or works on something else than the
        embedding.
    """
    steps: list[nn.Module] = []
    for kind, place in modules:
        try:
            if kind == "Dense":
                steps += _dense(place, files)
            elif kind == "LayerNorm":
                steps.append(_norm(place, files))
            elif kind == "Normalize":
                steps.append(Unit())
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, SafetensorError) as error:
            raise CheckpointError(
                f"the module {place} of this sentence model cannot be computed: {error!r}."
            ) from error
    while steps and isinstance(steps[-1], Unit):
        steps.pop()
    return nn.Sequential(*steps).requires_grad_(False).eval()


def _dense(place: str, files: Mapping[str, bytes]) -> list[nn.Module]:
    told = json.loads(files[f"{place}/config.json"])
    name = told.get("activation_function", "Tanh").rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise ConfigError(f"{place} has the activation {name}; computed are {', '.join(ACTIVATIONS)}.")
    if (taken := told.get("module_input_name", EMBEDDING)) != EMBEDDING:
        raise ConfigError(f"{place} works on '{taken}'; computed are dense layers on '{EMBEDDING}'.")
    layer = nn.Linear(told["in_features"], told["out_features"], bias=told.get("bias", True))
    return [_filled(layer, "linear", place, files), ACTIVATIONS[name]()]


def _norm(place: str, files: Mapping[str, bytes]) -> nn.Module:
    return _filled(nn.LayerNorm(json.loads(files[f"{place}/config.json"])["dimension"]), "norm", place, files)


def _filled(layer: nn.Module, name: str, place: str, files: Mapping[str, bytes]) -> nn.Module:
    weights = load(files[f"{place}/model.safetensors"])
    layer.load_state_dict({key.removeprefix(f"{name}."): weight for key, weight in weights.items()})
    return layer.to(torch.float32)

"""A change of weights as data: which matrices stand in which compact form; put into models, saved, loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json
from secateur.models.compact.form import CompactWeight
from secateur.models.compact.low_rank import LowRankWeight
from secateur.models.compact.rounded import RoundedWeight
from secateur.models.compact.sparse import SparseWeight
from secateur.models.live_tensors import stored_tensors

CHANGE = "change.json"
"""File of a checkpoint that names its compact weights; their tensors lie among the others."""

FORMS: Mapping[str, type[CompactWeight]] = {
    form.kind: form for form in (SparseWeight, RoundedWeight, LowRankWeight)
}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["mask", "bits", "factors"]
    facts: dict[str, Any]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    weights: dict[str, _Entry]


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightChange:
    """Weights of a model that were replaced by compact ones; those not named are as they were.

    Parameters
    ----------
    weights : mapping of str to CompactWeight
        By the name of the parameter in the whole model.
    """

    weights: Mapping[str, CompactWeight]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its forms, sorted."""
        return tuple(sorted({form.kind for form in self.weights.values()}))

    def then(self, later: WeightChange) -> WeightChange:
        """Compose with a change made on the model that this one leaves: the later form of a weight holds."""
        return WeightChange(weights={**self.weights, **later.weights})

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """Give a model the matrices that the forms stand for, in place.

        Raises
        ------
        CheckpointError
            If it has no such weight, or one of another shape.
        """
        live = self._live(model)
        for name, form in self.weights.items():
            matrix = form.decoded()
            if matrix.shape != live[name].shape:
                raise CheckpointError(
                    f"'{name}' has shape {tuple(live[name].shape)}, its compact form {tuple(matrix.shape)}; "
                    "the change was made on another model."
                )
            live[name].copy_(matrix)

    def require_of(self, model: nn.Module) -> None:
        """Check that the weights of a model are those that the forms stand for.

        Raises
        ------
        CheckpointError
            Naming the first that is not.
        """
        live = self._live(model)
        for name, form in self.weights.items():
            if not torch.equal(live[name].detach().cpu(), form.decoded()):
                raise CheckpointError(
                    f"'{name}' is not the weight that its compact form ({form.kind}) stands for; it was "
                    "trained or changed since. Compress the model again."
                )

    def encoded(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a model with those of the compact forms in place of its matrices."""
        found = {name: tensor for name, tensor in tensors.items() if name not in self.weights}
        for name, form in self.weights.items():
            found |= {f"{name}.{part}": tensor for part, tensor in form.tensors.items()}
        return found

    def write(self, folder: Path) -> None:
        """Write which weights are compact, and how; :func:`read_change` reads it."""
        weights = {name: {"kind": form.kind, "facts": form.facts} for name, form in self.weights.items()}
        write_json(folder / CHANGE, {"version": 1, "weights": weights})

    def _live(self, model: nn.Module) -> dict[str, Tensor]:
        found = stored_tensors(model)
        if missing := sorted(set(self.weights) - set(found)):
            raise CheckpointError(f"the change names '{missing[0]}', which this model does not have.")
        return found


def read_change(
    folder: Path, sealed: Collection[str], tensors: dict[str, Tensor]
) -> tuple[WeightChange | None, dict[str, Tensor]]:
    """Read the compact weights of a checkpoint.

    Parameters
    ----------
    folder : Path
    sealed : collection of str
        Names of its files.
    tensors : dict of str to Tensor
        What these hold.

    Returns
    -------
    change : WeightChange or None
        None where no weight is compact.
    tensors : dict of str to Tensor
        Those given, with matrices in place of compact forms.

    Raises
    ------
    CheckpointError
        If the file, or a tensor that it speaks of, is damaged or missing.
    """
    if CHANGE not in sealed:
        return None, tensors
    try:
        described = _File.model_validate(read_json(folder / CHANGE))
    except ValidationError as error:
        raise CheckpointError(f"{folder / CHANGE} is no valid change of weights: {error}") from error
    found, weights = dict(tensors), {}
    for name, entry in described.weights.items():
        prefix = f"{name}."
        parts = {
            part.removeprefix(prefix): tensor for part, tensor in found.items() if part.startswith(prefix)
        }
        try:
            form = FORMS[entry.kind].read(parts, entry.facts)
            matrix = form.decoded()
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(
                f"{folder}: the compact form ({entry.kind}) of '{name}' is damaged ({error})."
            ) from error
        for part in parts:
            del found[prefix + part]
        found[name], weights[name] = matrix, form
    return WeightChange(weights=weights), found

"""The proof that a written model is the one that was to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from secateur.core.errors import CheckpointError
from secateur.models.empty_model import described
from secateur.models.live_tensors import all_tensors
from secateur.models.loading_bars import no_warnings
from secateur.models.probes import output_of, probe_inputs, takes_probe

LOGIT_TOLERANCE = 1e-6


def require_same(
    model: nn.Module, fresh: nn.Module, folder: Path, *, dispensable: frozenset[str] = frozenset()
) -> None:
    """Check that ``fresh``, read from a folder, is ``model``.

    Every tensor is compared bit by bit, buffers that no file holds included, and the outputs for fixed inputs
    to :func:`tolerance`. Where a head takes no such inputs, the outputs are those of the model below it.

    Parameters
    ----------
    model : torch.nn.Module
        What was saved; its mode is left as it is.
    fresh : torch.nn.Module
        What came back, in evaluation mode; moved to the device of ``model``.
    folder : Path
        For messages.
    dispensable : frozenset of str
        Tensors of ``model`` that ``fresh`` need not have.

    Raises
    ------
    CheckpointError
        Naming the first tensor that differs, or how far the outputs do.
    """
    with evaluating(model), torch.no_grad():
        whole = takes_probe(model)
        asked, inputs = model if whole else _base(model), probe_inputs(model)
        # before the tensors: a forward may renew buffers (rotary frequencies that depend on the length)
        expected = output_of(asked, inputs)
        _require_same_tensors(model, fresh, folder, dispensable)
        fresh.to(expected.device)
        found = output_of(fresh if whole else _base(fresh), inputs)
    difference = (expected - found).abs().max().item()
    allowed = tolerance(expected)
    if not difference <= allowed:
        raise CheckpointError(
            f"{folder} was not written: logits of the reloaded model differ by {difference:.2e} "
            f"(allowed {allowed:.0e})."
        )


def _base(model: nn.Module) -> nn.Module:
    return getattr(model, "base_model", model)


def require_generates(fresh: PreTrainedModel, folder: Path) -> None:
    """Check that ``generate`` runs with the generation configuration that was read back.

    A model that generates nothing with an empty configuration either is let through.

    Parameters
    ----------
    fresh : transformers.PreTrainedModel
        What came back, in evaluation mode.
    folder : Path
        For messages.

    Raises
    ------
    CheckpointError
        With what ``generate`` says.
    """
    if not fresh.can_generate() or getattr(fresh, "generation_config", None) is None:
        return
    with no_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
        if (error := _fault_of_generate(fresh)) is None:
            return
        own, fresh.generation_config = fresh.generation_config, GenerationConfig()
        for name in ("bos_token_id", "decoder_start_token_id"):
            setattr(fresh.generation_config, name, getattr(own, name, None))
        works = _fault_of_generate(fresh) is None
        fresh.generation_config = own
    if works:
        raise CheckpointError(
            f"{folder} was not written: generate fails with the model's generation configuration "
            f"({described(error)}) Mend model.generation_config and save again."
        )


def _fault_of_generate(model: PreTrainedModel) -> Exception | None:
    inputs = probe_inputs(model)
    given = {model.main_input_name: inputs[model.main_input_name]}
    if "input_ids" in given:
        given["attention_mask"] = torch.ones_like(given["input_ids"])
    try:
        model.generate(**given, max_new_tokens=2)
    except Exception as error:  # settings of any kind can raise anything
        return error
    return None


def tolerance(logits: Tensor) -> float:
    """Return the difference that two runs of one model may show.

    1e-6 in single precision for logits of a size up to one; in proportion for larger ones and for coarser
    types.
    """
    coarseness = torch.finfo(logits.dtype).eps / torch.finfo(torch.float32).eps
    return LOGIT_TOLERANCE * max(1.0, coarseness) * max(1.0, logits.abs().max().item())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode and every module back into its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _require_same_tensors(
    model: nn.Module, fresh: nn.Module, folder: Path, dispensable: frozenset[str]
) -> None:
    found = all_tensors(fresh)
    expected = {
        name: tensor
        for name, tensor in all_tensors(model).items()
        if name in found or name not in dispensable
    }
    if set(expected) != set(found):
        names = sorted(set(expected) ^ set(found))
        raise CheckpointError(f"{folder} was not written: {names} would be lost or made up on loading.")
    for name, tensor in expected.items():
        same_kind = tensor.dtype == found[name].dtype
        if not same_kind or not torch.equal(tensor.detach().cpu(), found[name].detach().cpu()):
            raise CheckpointError(f"{folder} was not written: '{name}' does not come back as it was saved.")

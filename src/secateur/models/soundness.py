"""What a model in memory must be before it is cut: numbers, ties that are told, answers with names."""

from __future__ import annotations

import torch
from torch import nn

from secateur.core.errors import ConfigError, DataError
from secateur.models.calls import run
from secateur.models.live_tensors import stored_tensors

TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def require_sound(model: nn.Module) -> None:
    """Check a model that came from a program, which may have built it in any way.

    Raises
    ------
    ConfigError
        If weights have no values, belong to inference mode, or are of types that are not cut or cannot meet;
        a tie is not told by the configuration, or the model is set to answer by tuples.
    DataError
        If weights are not finite.
    """
    for name, tensor in stored_tensors(model).items():
        if tensor.is_meta:
            raise ConfigError(f"'{name}' of the model has no values (device meta); load the model's weights.")
        if tensor.is_inference():
            raise ConfigError(
                f"'{name}' of the model was made under torch.inference_mode(), where it takes no "
                "gradient; build or load the model outside of it."
            )
        if isinstance(tensor, nn.Parameter) and tensor.dtype not in TYPES:
            raise ConfigError(
                f"'{name}' of the model is of {tensor.dtype}, as quantised weights are; cut are weights of "
                f"{', '.join(map(str, TYPES))}. Load the model unquantised."
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise DataError(f"'{name}' of the model holds numbers that are not finite; the model is damaged.")
    if getattr(getattr(model, "config", None), "return_dict", True) is False:
        raise ConfigError(
            "the model's configuration has return_dict=False, so that its answers have no names; set "
            "model.config.return_dict = True."
        )
    require_told_ties(model)
    _require_one_type(model)


def require_told_ties(model: nn.Module) -> None:
    """Check that a head which is tied to the embedding will be so after loading.

    Raises
    ------
    ConfigError
        If the configuration says otherwise.
    """
    if getattr(getattr(model, "config", None), "tie_word_embeddings", True):
        return
    embedding, head = (
        getattr(getattr(model, name)(), "weight", None)
        for name in ("get_input_embeddings", "get_output_embeddings")
    )
    if head is not None and head is embedding:
        raise ConfigError(
            "the model's head is its embedding (one tensor), but its configuration says "
            "tie_word_embeddings=False, so that loading would part them; set "
            "model.config.tie_word_embeddings = True."
        )


def _require_one_type(model: nn.Module) -> None:
    """Check that a model of text whose weights are of several types can compute with them.

    Some can, as they turn what meets to one type; of others, only whole copies in one type run.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    types = sorted({str(parameter.dtype) for parameter in model.parameters()})
    if len(types) < 2 or getattr(model, "main_input_name", None) != "input_ids":
        return
    try:
        with torch.no_grad():
            run(model, {"input_ids": torch.zeros(1, 2, dtype=torch.int64)})
    except RuntimeError as error:
        raise ConfigError(
            f"the model's weights are of {' and '.join(types)}, with which it cannot compute "
            f"(torch: {error}); bring them to one type, as model.to(torch.bfloat16) does."
        ) from error

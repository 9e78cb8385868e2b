"""What a model in memory must be before it is cut: numbers, ties that are told, answers with names."""

from __future__ import annotations

from torch import nn

from secateur.core.errors import ConfigError, DataError
from secateur.models.live_tensors import stored_tensors


def require_sound(model: nn.Module) -> None:
    """Check a model that came from a program, which may have built it in any way.

    Raises
    ------
    ConfigError
        If weights have no values or belong to inference mode, a tie is not told by the configuration, or the
        model is set to answer by tuples.
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
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise DataError(f"'{name}' of the model holds numbers that are not finite; the model is damaged.")
    if getattr(getattr(model, "config", None), "return_dict", True) is False:
        raise ConfigError(
            "the model's configuration has return_dict=False, so that its answers have no names; set "
            "model.config.return_dict = True."
        )
    require_told_ties(model)


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

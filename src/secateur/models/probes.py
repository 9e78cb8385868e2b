"""Fixed inputs for every kind of model, on which a saved model and its copy are compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.attributes import positions_of
from secateur.models.diagnoser import Diagnoser

SAMPLES, TOKENS = 2, 16
DEFAULT_IMAGE, DEFAULT_CHANNELS = 224, 3


def probe_inputs(model: nn.Module) -> dict[str, Tensor]:
    """Return two fixed samples of what a model takes, by argument name, on its device.

    Raises
    ------
    UnsupportedArchitecture
        If the model takes neither windows of vibration, nor tokens, pixels or features of sound.
    """
    draw = torch.Generator().manual_seed(0)
    made = _windows(model, draw) if isinstance(model, Diagnoser) else _of_transformer(model, draw)
    parameter = next(model.parameters())
    return {
        name: value.to(parameter.device, parameter.dtype if value.is_floating_point() else None)
        for name, value in made.items()
    }


def takes_probe(model: nn.Module) -> bool:
    """Whether a model's forward takes the fixed inputs.

    Heads that want several candidates, end tokens in every row or no decoder do not; their base model does.
    """
    try:
        with torch.no_grad():
            return isinstance(output_of(model, probe_inputs(model)), Tensor)
    except UnsupportedArchitecture:
        raise
    except Exception:  # each head refuses in its own way
        return False


def output_of(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Return the logits, or for a model without a head its last hidden state."""
    output = model(**inputs)
    return output if isinstance(output, Tensor) else output[0]


def _windows(model: Diagnoser, draw: torch.Generator) -> dict[str, Tensor]:
    """One fixed window with a known and one with an unknown shaft speed."""
    return {
        "waveform": torch.randn(SAMPLES, model.config.window_length, generator=draw),
        "shaft_rate_hz": torch.tensor([30.0, 0.0]),
        "fault_orders": torch.tensor([[3.6, 5.4, 4.7, 0.4], [0.0] * 4]),
    }


def _of_transformer(model: PreTrainedModel, draw: torch.Generator) -> dict[str, Tensor]:
    main, config = model.main_input_name, model.config
    if main == "input_ids":
        made = {main: _tokens(config, draw)}
    elif main == "pixel_values":
        made = {main: _image(config, draw)}
    elif main == "input_features":
        frames = 2 * config.max_source_positions
        made = {main: torch.randn(SAMPLES, config.num_mel_bins, frames, generator=draw)}
    else:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} takes '{main}'; models are compared on input_ids, pixel_values or "
            "input_features."
        )
    if config.is_encoder_decoder:
        made["decoder_input_ids"] = _tokens(config, draw)
    return made


def _tokens(config: Any, draw: torch.Generator) -> Tensor:
    text = config.get_text_config()
    positions = positions_of(text) or TOKENS
    # some families keep the first positions for padding
    length = max(1, min(TOKENS, positions - 4))
    return torch.randint(text.vocab_size, (SAMPLES, length), generator=draw)


def _image(config: Any, draw: torch.Generator) -> Tensor:
    size = getattr(config, "image_size", None) or DEFAULT_IMAGE
    height, width = (size, size) if isinstance(size, int) else size
    channels = getattr(config, "num_channels", None) or DEFAULT_CHANNELS
    return torch.randn(SAMPLES, channels, height, width, generator=draw)

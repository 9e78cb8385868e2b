"""The Diagnoser: front end, transformer backbone, pooling and class head."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from secateur.core.errors import ConfigError, UnsupportedArchitecture
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import FrontEnd

BACKBONE_FAMILIES = ("gpt2", "llama", "stablelm", "starcoder2")


@dataclass(frozen=True, kw_only=True)
class DiagnoserConfig:
    """All that is needed to build a Diagnoser anew; saved as JSON.

    Parameters
    ----------
    classes : tuple of str
        Class labels in the order of the logits.
    front_end : FrontEndSettings
        Constants of the front end.
    backbone : dict
        ``transformers`` configuration of the backbone as a dictionary, with its ``model_type``.
    """

    classes: tuple[str, ...]
    front_end: FrontEndSettings
    backbone: dict[str, Any]

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ConfigError(f"classes {list(self.classes)}; give at least two, each once.")
        if self.family not in BACKBONE_FAMILIES:
            raise UnsupportedArchitecture(
                f"backbone family '{self.family}'; a Diagnoser takes {', '.join(BACKBONE_FAMILIES)}."
            )

    @property
    def family(self) -> str:
        """The backbone's ``model_type``."""
        return str(self.backbone.get("model_type"))

    @property
    def sampling_rate_hz(self) -> float:
        """Rate of the windows."""
        return self.front_end.sampling_rate_hz

    @property
    def window_length(self) -> int:
        """Samples a window."""
        return self.front_end.window_length

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values."""
        return {
            "classes": list(self.classes),
            "front_end": dataclasses.asdict(self.front_end),
            "backbone": dict(self.backbone),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DiagnoserConfig:
        """Build a configuration from :meth:`to_json`.

        Raises
        ------
        ConfigError
            If keys are missing or unknown.
        """
        try:
            front_end: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values["front_end"].items()
            }
            return cls(
                classes=tuple(values["classes"]),
                front_end=FrontEndSettings(**front_end),
                backbone=dict(values["backbone"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"not the configuration of a Diagnoser: {error}.") from None


class Diagnoser(nn.Module):
    """A transformer that names the bearing fault behind a window of vibration.

    The backbone is an unmodified ``transformers`` model fed with tokens instead of word embeddings; its
    vocabulary is left out, since no text goes in. The mean over the tokens of its last hidden state goes
    to a linear head.

    Parameters
    ----------
    config : DiagnoserConfig
    """

    input_names: ClassVar = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self, config: DiagnoserConfig) -> None:
        super().__init__()
        self.config = config
        values = {key: value for key, value in config.backbone.items() if key != "model_type"}
        backbone_config = AutoConfig.for_model(config.family, **values)
        self.front_end = FrontEnd(config.front_end, backbone_config.hidden_size)
        self.backbone = AutoModel.from_config(backbone_config, attn_implementation="sdpa")
        self.backbone.set_input_embeddings(nn.Identity())
        self.head = nn.Linear(backbone_config.hidden_size, len(config.classes))

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        """Return class logits.

        Parameters
        ----------
        waveform : Tensor, shape (batch, window_length)
            Raw samples at ``config.sampling_rate_hz``; mean and level do not matter.
        shaft_rate_hz : Tensor, shape (batch,)
            Turns a second; 0 where unknown.
        fault_orders : Tensor, shape (batch, 4)
            BPFO, BPFI, twice BSF and FTF over the shaft rate; zeros where unknown.

        Returns
        -------
        Tensor, shape (batch, classes)
        """
        return self.classified(self.front_end(waveform, shaft_rate_hz, fault_orders))

    def classified(self, tokens: Tensor) -> Tensor:
        """Return class logits of the front end's tokens (batch, tokens, hidden)."""
        hidden = self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state
        return self.head(hidden.mean(dim=1)).float()

"""A Diagnoser's checkpoint in torch, whole or its backbone alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from secateur.bench.inputs import random_tokens, random_window
from secateur.bench.work import Work
from secateur.core.errors import ConfigError
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser


class Checkpoint:
    """A loaded model and its input.

    Parameters
    ----------
    forward : callable
        Runs it once.
    """

    def __init__(self, forward: Callable[[], object]) -> None:
        self._forward = forward

    def infer(self) -> None:
        """Run once."""
        with torch.inference_mode():
            self._forward()


def load(work: Work) -> Checkpoint:
    """Load the checkpoint.

    Raises
    ------
    CheckpointError
        As :func:`secateur.models.checkpoint.load`.
    ConfigError
        If it is no Diagnoser, or has fewer positions than tokens are asked for.
    """
    torch.set_num_threads(work.threads)
    model = checkpoint.load(Path(work.path))
    if not isinstance(model, Diagnoser):
        raise ConfigError(f"{work.path} holds a {type(model).__name__}; a Diagnoser is measured.")
    model = model.float().eval()
    if work.tokens is not None:
        return Checkpoint(_backbone(model, work.tokens))
    window = {
        name: torch.from_numpy(array) for name, array in random_window(model.config.window_length).items()
    }
    return Checkpoint(lambda: model(**window))


def _backbone(model: Diagnoser, count: int) -> Callable[[], object]:
    config = model.backbone.config
    if count > config.max_position_embeddings:
        raise ConfigError(
            f"{count} tokens were asked for; this backbone has {config.max_position_embeddings} positions."
        )
    tokens = torch.from_numpy(random_tokens(count, config.hidden_size))
    return lambda: model.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state

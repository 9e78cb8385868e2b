"""Recovery of a cut language model on its calibration text, and the dense control with equal training."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from secateur.core.progress import console
from secateur.core.seeds import derive
from secateur.models.text import TokenSource, text_blocks
from secateur.recovery.settings import Adapter, TextRecoverySettings
from secateur.recovery.text import recover_text
from secateur.training.perplexity import Perplexity, paired_ratio, perplexity
from secateur.workflow.transformer_blocks import tokenizer_of
from secateur.workflow.transformer_settings import TransformerCut, block_tokens
from secateur.workflow.transformer_source import Source

VALIDATION_SHARE = 0.1
STEPS_WITHOUT_LIMIT = 100_000
LEARNING_RATES: Mapping[Adapter, float] = {"lora": 1e-3, "full": 3e-4}
"""Low-rank updates take larger steps than whole weights."""


def recover(small: nn.Module, source: Source, cut: TransformerCut, state: Path) -> dict[str, Any]:
    """Train a cut language model in place on the calibration text, with the dense one as teacher.

    Recovery adapts a model to the text as well as it mends it. So, unless the cut says otherwise, a copy of
    the dense model takes as many steps under the same settings, and the perplexities of both stand side by
    side, on the last tenth of the text, which is not trained on.

    Parameters
    ----------
    small : nn.Module
        With the vocabulary of the dense model.
    source : Source
        The dense model; left as it is.
    cut : TransformerCut
    state : Path
        Folder from which a stopped recovery goes on.

    Returns
    -------
    dict
        What to record: ``recovery``, ``recovery_settings`` and ``recovery_perplexity``.

    Raises
    ------
    ConfigError
        If the model predicts no next token.
    """
    dense, length = source.model, block_tokens(source.model.config)

    def blocks(first: float, last: float) -> Tensor:
        part = TokenSource(
            path=cut.calibration, tokenizer=tokenizer_of(source, "--calibration"), first=first, last=last
        )
        return text_blocks(part, length=length)

    settings = TextRecoverySettings(
        adapter=cut.recovery_adapter,
        learning_rate=LEARNING_RATES[cut.recovery_adapter],
        max_steps=cut.recovery_steps or STEPS_WITHOUT_LIMIT,
        max_minutes=cut.recovery_minutes,
        seed=derive(cut.seed, "recovery"),
    )
    border = 1 - VALIDATION_SHARE
    train, held_out = blocks(0, border), blocks(border, 1)

    def judged(model: nn.Module) -> Perplexity:
        return perplexity(model.eval(), held_out.flatten().tolist(), context=length)

    found = {"dense": judged(dense), "cut": judged(small)}
    result = recover_text(small, dense, train, held_out, settings, state / "cut")
    found["cut, recovered"] = judged(small)
    if cut.recovery_control:
        console.print(f"training the dense model alike, {result.steps} steps, for comparison")
        alike = replace(settings, max_steps=result.steps, max_minutes=None)
        control = deepcopy(dense)
        recover_text(control, dense, train, held_out, alike, state / "control")
        found["dense, trained alike"] = judged(control)
    return {
        "recovery": result,
        "recovery_settings": settings,
        "recovery_perplexity": _beside(found),
    }


def _beside(found: dict[str, Perplexity]) -> dict[str, dict[str, Any]]:
    """Return each perplexity with its ratio to the dense model's and to the control's, where there is one."""
    control = found.get("dense, trained alike")
    return {
        name: {
            "perplexity": one.value,
            "over_dense": paired_ratio(one, found["dense"]),
            "over_control": None if control is None else paired_ratio(one, control),
        }
        for name, one in found.items()
    }

"""The blocks of a ``transformers`` model made smaller: scored, cut, re-fitted."""

from __future__ import annotations

from typing import Any

from torch import nn

from secateur.blockwise.refit import refit
from secateur.core.errors import ConfigError
from secateur.core.files import sha256_of
from secateur.core.progress import console
from secateur.methods.rounds import cut_in_rounds
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.models.pretrained import is_causal_lm
from secateur.models.text import TokenSource, passage_batches, text_batches
from secateur.scoring.equal_widths import equal_widths
from secateur.scoring.registered import CRITERIA, criterion_of_text
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.workflow.transformer_settings import TransformerCut, block_tokens, kinds_to_cut
from secateur.workflow.transformer_source import Source

SCORED_AT_ONCE, FITTED_AT_ONCE = 1, 8
"""Blocks in a batch: gradients hold several times the logits."""

SENTENCES_A_BLOCK = 4


def cut_blocks(
    source: Source, target: int, cut: TransformerCut
) -> tuple[nn.Module, PruningPlan, dict[str, Any]]:
    """Score, cut and re-fit, in rounds or to equal widths.

    Parameters
    ----------
    source : Source
        Its model is left as it is.
    target : int
        Parameters of the whole model that must not be exceeded.
    cut : TransformerCut

    Returns
    -------
    tuple
        The small model, its plan, and what to record.
    """
    scored = calibration_batches(source, cut, cut.calibration_blocks, SCORED_AT_ONCE)
    fitted = calibration_batches(source, cut, cut.refit_blocks, FITTED_AT_ONCE)
    console.print(f"scoring by {cut.criterion}")
    model = source.model
    if cut.uniform:
        small, plan, record = _to_equal_widths(model, target, cut, scored, fitted)
    else:
        kinds = kinds_to_cut(cut, _whole(model), target)
        made = cut_in_rounds(
            model,
            scored,
            target,
            criterion=criterion_of_text(cut.criterion, kinds),
            n_rounds=cut.rounds,
            kinds=kinds,
            multiple=cut.multiple,
            refit_batches=fitted,
            target=cut.refit_target,
            seed=cut.seed,
        )
        small, plan, record = made.model, made.plan, {"rounds": made.rounds, "refit": made.rounds[-1].refit}
    digest = None if cut.calibration is None else sha256_of(cut.calibration)
    return small, plan, {**record, "calibration_sha256": digest}


def tokenizer_of(source: Source, option: str) -> Any:
    """Return the tokenizer with which the text of an option is read.

    Raises
    ------
    ConfigError
        If the model came without one.
    """
    if source.tokenizer is None:
        raise ConfigError(
            f"{option} names a text, but {source.name} has no tokenizer to read it with; put the tokenizer's "
            "files into its folder, or leave the option out (--criterion magnitude needs no data)."
        )
    return source.tokenizer


def _to_equal_widths(
    model: nn.Module,
    target: int,
    cut: TransformerCut,
    scored: tuple[Batch, ...],
    fitted: tuple[Batch, ...],
) -> tuple[nn.Module, PruningPlan, dict[str, Any]]:
    bound = bind(model)
    scores = CRITERIA.get(cut.criterion)().score(model, bound, scored, seed=cut.seed)
    plan = equal_widths(scores, _whole(model), target, multiple=cut.multiple)
    small = apply(model, plan)
    fit = refit(small, plan, model, fitted, target=cut.refit_target) if fitted else None
    return small, plan, {"refit": fit}


def _whole(model: nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def calibration_batches(
    source: Source, cut: TransformerCut, blocks: int, batch_size: int
) -> tuple[Batch, ...]:
    """Return blocks of tokens for models that predict the next one, sentences for others.

    Parameters
    ----------
    source : Source
        Its model may be on the meta device.
    cut : TransformerCut
    blocks : int
        How many; of sentences four times as many.
    batch_size : int

    Raises
    ------
    ConfigError
        If the model takes no text, or has no tokenizer.
    """
    if cut.calibration is None:
        return ()
    model = source.model
    if model.main_input_name != "input_ids" or model.config.is_encoder_decoder:
        taken = "two texts" if model.main_input_name == "input_ids" else model.main_input_name
        raise ConfigError(
            f"--calibration is one text, but {type(model).__name__} takes {taken}; cut it without data "
            "(--criterion magnitude)."
        )
    text = TokenSource(path=cut.calibration, tokenizer=tokenizer_of(source, "--calibration"))
    length = block_tokens(model.config)
    if is_causal_lm(model) or text.tokenizer.pad_token is None:
        return text_batches(text, blocks=blocks, length=length, batch_size=batch_size, seed=cut.seed)
    return passage_batches(
        text, passages=SENTENCES_A_BLOCK * blocks, length=length, batch_size=batch_size, seed=cut.seed
    )

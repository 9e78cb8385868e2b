"""``secateur sia``: can this model be cut by importance, in which units, and what will it cost?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.core.typed import typed
from secateur.models.attributes import tokens_that_fit
from secateur.models.binding import BoundModel, bind
from secateur.models.calls import Batch
from secateur.models.tables import Table
from secateur.models.text import TokenSource, passage_batches, text_batches
from secateur.scoring.registered import DEFAULT_CRITERION
from secateur.sia.components import Component, present
from secateur.sia.measured.gating import has_norm_over_heads
from secateur.sia.measured.measure import measure
from secateur.sia.measured.measurement import Measured
from secateur.sia.prediction import Trial
from secateur.sia.structural import Structure, check_structure
from secateur.sia.trial import trial_cut
from secateur.sia.verdict import ModelVerdict, judge
from secateur.structure.shape import ModelShape
from secateur.tasks.calibration import draw_batches
from secateur.tasks.heads import chance_of, reads_sentences, require_text_model
from secateur.workflow.outline import outline_of
from secateur.workflow.source import Source, open_source
from secateur.workflow.steps import load_for_task
from secateur.workflow.task import Preparation, split_record

CRITERIA = ("taylor", "activation", "magnitude")
WINDOWS, BLOCKS, PASSAGES = 128, 24, 64
"""Calibration samples by default: windows, blocks of text for a language model, sentences for an encoder."""

BLOCK_TOKENS, BLOCKS_AT_ONCE, PASSAGES_AT_ONCE = 64, 4, 16


@dataclass(frozen=True, kw_only=True)
@typed
class Effort:
    """How much is measured.

    Parameters
    ----------
    budget_s : float
        Seconds; infinite where the number of evaluations alone decides.
    width : float
        Width of the intervals at which measuring ends.
    samples : int, optional
        Calibration samples; default: see :data:`WINDOWS`.
    max_evaluations : int, optional
        Passes over the samples. As the only limit it makes the figures the same on every machine.
    """

    budget_s: float = 60.0
    width: float = 0.1
    samples: int | None = None
    max_evaluations: int | None = None

    def __post_init__(self) -> None:
        for name in ("budget_s", "width", "samples", "max_evaluations"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0.")


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is known about one model.

    Attributes
    ----------
    structure : Structure
    measured : Measured or None
    verdict : ModelVerdict
    """

    structure: Structure
    measured: Measured | None
    verdict: ModelVerdict

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return to_jsonable(self)


Tell = Callable[[Check], None]


def structural_record(name: str, *, ratio: float | None) -> dict[str, Any]:
    """Carry out the structural part alone, without reading a weight.

    Parameters
    ----------
    name : str
        As :func:`secateur.workflow.outline.outline_of` takes it.
    ratio : float or None
        Dense over remaining parameters that is asked for.

    Returns
    -------
    dict
        See :func:`record_of`; ``measured`` is None.
    """
    bound = bind(outline_of(name).model)
    check = check_structurally(bound, ratio)
    return record_of(name, bound.shape, check, samples=None, effort=None, seed=None)


def check_model(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    ratio: float | None,
    effort: Effort,
    seed: int,
    components: Sequence[Component] | None = None,
    tell: Tell | None = None,
) -> Check:
    """Carry out both parts.

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    batches : sequence of dict
        Calibration samples.
    ratio : float or None
        Dense over remaining parameters, for the prediction.
    effort : Effort
    seed : int
    components : sequence of Component, optional
        Default: all that the model has and that can be measured.
    tell : callable, optional
        Given the structural answer at once, and every now and then what is known so far.

    Raises
    ------
    UnsupportedArchitecture
        If the model has several stacks of blocks.
    """
    bound = bind(model)
    check = check_structurally(bound, ratio)
    if tell is not None:
        tell(check)

    def with_measured(measured: Measured, trial: Trial | None = None) -> Check:
        verdict = judge(
            check.structure,
            measured,
            shape=bound.shape,
            ratio=ratio,
            default_criterion=DEFAULT_CRITERION,
            chance=chance_of(model),
            trial=trial,
        )
        return replace(check, measured=measured, verdict=verdict)

    measured = measure(
        model,
        batches,
        components=components or measurable(bound),
        criteria=CRITERIA,
        budget_s=effort.budget_s,
        width=effort.width,
        seed=seed,
        max_evaluations=effort.max_evaluations,
        share=check.verdict.share,
        progress=None if tell is None else lambda found: tell(with_measured(found)),
    )
    found = with_measured(measured)
    if found.verdict.share is None or ratio is None:
        return found
    criterion = found.verdict.criterion or DEFAULT_CRITERION
    console.print(f"trial cut to {ratio:g}x by {criterion}")
    return with_measured(measured, trial_cut(model, batches, ratio=ratio, criterion=criterion, seed=seed))


def measurable(bound: BoundModel) -> tuple[Component, ...]:
    """Return the components of a model that can be taken out one by one.

    Single query heads under a norm over all heads cannot: without one, the others' statistics change.
    """
    over_heads = any(has_norm_over_heads(layer) for layer in bound.layers)
    return tuple(component for component in present(bound.shape) if component != "head" or not over_heads)


def check_structurally(bound: BoundModel, ratio: float | None) -> Check:
    """Carry out the structural part on a bound model, whose weights may be on the meta device."""
    structure = check_structure(bound.spec, bound.shape)
    verdict = judge(structure, None, shape=bound.shape, ratio=ratio, default_criterion=DEFAULT_CRITERION)
    return Check(structure=structure, measured=None, verdict=verdict)


def check_diagnoser(
    folder: Path,
    *,
    data: str | None,
    split: str | None,
    ratio: float | None,
    effort: Effort,
    seed: int,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Check a Diagnoser on windows of its task, or of other data or another split.

    Returns
    -------
    dict
        See :func:`record_of`.

    Raises
    ------
    SecateurError
        See :func:`secateur.workflow.steps.load_for_task`.
    """
    model, _, preparation = load_for_task(folder, data=data, split=split)
    batches, drawn = calibration_windows(preparation, effort.samples or WINDOWS, seed=seed)
    check = check_model(model, batches, ratio=ratio, effort=effort, seed=seed, tell=tell)
    samples = {
        **drawn,
        "split": split_record(preparation.split),
        "data_sha256": preparation.data_sha256,
    }
    return record_of(str(folder), bind(model).shape, check, samples=samples, effort=effort, seed=seed)


def calibration_windows(
    preparation: Preparation, samples: int, *, seed: int
) -> tuple[tuple[Batch, ...], dict[str, Any]]:
    """Draw windows that training has not seen, and where there are too few of them, others that it has.

    Returns
    -------
    tuple
        Batches, the classes as even as their numbers allow; how many windows are of which kind.
    """
    unseen = min(samples, len(preparation.validation))
    seen = min(samples - unseen, len(preparation.train))
    batches = draw_batches(preparation.validation, unseen, seed=seed)
    if seen:
        batches += draw_batches(preparation.train, seen, seed=seed)
    return batches, {"kind": "windows", "validation": unseen, "training": seen}


def check_transformer(
    name: str,
    text: Path,
    *,
    ratio: float | None,
    effort: Effort,
    seed: int,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Check a language model or an encoder on a text.

    Parameters
    ----------
    name : str
        ``transformers`` folder, GGUF file, checkpoint of ours, or name on the hub.
    text : Path
        UTF-8.

    Returns
    -------
    dict
        See :func:`record_of`.

    Raises
    ------
    ConfigError
        If the model takes no text or has no tokenizer.
    DataError
        If the text is not there, or too short.
    """
    text = Path(text)
    if not text.is_file():
        raise DataError(f"{text} is not a file; give a text file in UTF-8.")
    source = open_source(name)
    batches = text_samples(source, text, effort.samples, seed=seed)
    check = check_model(source.model, batches, ratio=ratio, effort=effort, seed=seed, tell=tell)
    samples = {"kind": "text", "path": text, "sha256": sha256_of(text)}
    return record_of(name, bind(source.model).shape, check, samples=samples, effort=effort, seed=seed)


def text_samples(
    source: Source, text: Path | Table, samples: int | None = None, *, seed: int
) -> tuple[Batch, ...]:
    """Draw what a model of texts is checked on: blocks for a language model, sentences for others.

    Raises
    ------
    ConfigError
        If the model takes no text or has no tokenizer.
    DataError
        If the text is too short.
    """
    model = source.model
    require_text_model(model, "what it is measured on", "its structure alone can be checked")
    if source.tokenizer is None:
        raise ConfigError(
            f"{source.name} has no tokenizer to read the text with; {source.where_tokenizer}, or give no "
            "text for the structural part alone."
        )
    tokens = TokenSource(path=text, tokenizer=source.tokenizer)
    length = tokens_that_fit(model, BLOCK_TOKENS)
    if reads_sentences(model, source.tokenizer):
        return passage_batches(
            tokens, passages=samples or PASSAGES, length=length, batch_size=PASSAGES_AT_ONCE, seed=seed
        )
    return text_batches(tokens, blocks=samples or BLOCKS, length=length, batch_size=BLOCKS_AT_ONCE, seed=seed)


def record_of(
    name: str,
    shape: ModelShape,
    check: Check,
    *,
    samples: dict[str, Any] | None,
    effort: Effort | None,
    seed: int | None,
) -> dict[str, Any]:
    """Return a check as the content of ``sia.json``.

    Returns
    -------
    dict
        ``model``, ``shape``, ``structure``, ``measured`` (or None), ``verdict``, ``samples``, ``effort``,
        ``provenance``; JSON values.
    """
    return to_jsonable(
        {
            "model": name,
            "shape": shape,
            **check.to_json(),
            "samples": samples,
            "effort": effort,
            "provenance": provenance(seed=seed),
        }
    )

"""Cut a model of tokens and save it: open, plan, cut, re-fit, recover, save, tell."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import remove_folder, require_replaceable
from secateur.core.memory import trim_heap
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.models import checkpoint, checkpoint_transformer
from secateur.models.binding import bind
from secateur.models.checkpoint_card import weight_files
from secateur.models.checkpoint_files import read_checksums
from secateur.models.live_tensors import stored_tensors
from secateur.models.origin import origin_after
from secateur.models.tokenizer_trim import TrimmedVocabulary, trim_vocabulary
from secateur.structure.counting import block_parameters, flops_per_token, parameters, shape_parameters
from secateur.surgery.apply import apply
from secateur.workflow.cut_model import cut_blocks, tokenizer_of
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.own_tokens import bits_per_byte, text_of
from secateur.workflow.source import Source, open_source
from secateur.workflow.steps import partial_folder

FLOPS_CONTEXT_TOKENS = 512


def prune_model(name: str, cut: CutSettings, out: Path) -> dict[str, Any]:
    """Cut a model and save it so that it can be loaded again.

    Parameters
    ----------
    name : str
        A ``transformers`` folder, a GGUF file, a name on the hub, or a checkpoint of such a model.
    cut : CutSettings
    out : Path
        Folder for the checkpoint; new, empty, or a former checkpoint.

    Returns
    -------
    dict
        What became of the model, as JSON values: ``dense`` and ``pruned`` figures, ``ratio``, how the folder
        loads, and what was done. The checkpoint's metadata holds the same.

    Raises
    ------
    ConfigError
        If ``out`` holds something else or is the model itself, or a text is given for a model without
        tokenizer.
    DataError
        If a text is not there or not UTF-8.
    PlanError
        If the size cannot be reached.
    SecateurError
        From opening, cutting and saving.
    """
    out = Path(out)
    require_replaceable(out, checkpoint.CHECKSUMS)
    if out.exists() and Path(name).exists() and out.resolve() == Path(name).resolve():
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    asked = cut.tokens
    require_vocabulary_file(asked.vocabulary)
    started = time.perf_counter()
    console.print(f"opening {name}")
    source = open_source(name)
    plan = bind(source.model).whole_plan
    family, dense, dense_figures = plan.family, plan.shape, figures(source.model)
    trimmed = trimmed_vocabulary(source, asked.vocabulary)
    small, record, held_out = source.model, {}, None
    change, ratio, counted = None, None, "parameters"
    if cut.cuts_blocks or cut.recovery is not None or cut.holds_out:
        tokens_cut = plan.with_tokens(None if trimmed is None else trimmed.tokens)
        made = cut_blocks(source, cut, tokens_cut, partial_folder(out))
        small, plan, record = made.compression.model, made.compression.plan, made.record
        held_out = made.task.test if made.task.objective.predicts_tokens else None
        if (change := made.compression.weights) is not None:
            ratio, counted = made.compression.cost.ratio, made.compression.cost.unit
    tokenizer = source.tokenizer
    if trimmed is not None:
        small = apply(small, bind(small).whole_plan.with_tokens(trimmed.tokens))
        plan, tokenizer = plan.with_tokens(trimmed.tokens), trimmed.tokenizer
        if held_out is not None:
            text = text_of(held_out, source.tokenizer)
            record["bits_per_byte"] = {
                "dense": bits_per_byte(source.model, source.tokenizer, text),
                "saved": bits_per_byte(small, tokenizer, text),
            }
    origin, folder = origin_after(source.model, plan, change), source.folder
    del source  # from here on the dense model would only take memory
    trim_heap()
    console.print("saving, and reading back to compare")
    result = to_jsonable(
        {
            **facts(
                name,
                cut,
                dense=dense_figures,
                small=small,
                ratio=ratio or shape_parameters(family, dense) / parameters(origin.plan),
                counted=counted,
                seconds=time.perf_counter() - started,
            ),
            **record,
        }
    )
    checkpoint.save(
        small,
        out,
        plan=origin.plan,
        weights=origin.weights,
        metadata={**result, **origin.metadata},
        tokenizer=tokenizer,
        source=folder,
    )
    remove_folder(partial_folder(out))
    described = checkpoint_transformer.describe(out)
    files = weight_files(read_checksums(out))
    result["pruned"]["bytes"] = sum((out / file).stat().st_size for file in files)
    return {
        "checkpoint": str(out),
        "form": described.form,
        "loads_with": list(described.loads_with),
        "not_plain_because": described.not_plain_because,
        **result,
    }


def require_vocabulary_file(text: Path | None) -> None:
    """Check that the text whose tokens are to stay is there, before a model is opened.

    Raises
    ------
    DataError
        If it is no file.
    """
    if text is not None and not text.is_file():
        raise DataError(f"{text} is not a file; give a text file in UTF-8.")


def trimmed_vocabulary(source: Source, text: Path | None) -> TrimmedVocabulary | None:
    """Return the tokens of a text and their tokenizer; None without a text."""
    if text is None:
        return None
    return trim_vocabulary(source.model, tokenizer_of(source, "--vocabulary"), text)


def facts(
    source: str,
    cut: CutSettings,
    *,
    dense: dict[str, Any],
    small: nn.Module,
    ratio: float,
    counted: str = "parameters",
    seconds: float,
) -> dict[str, Any]:
    """Return what is told of every cut, wherever its blocks lay.

    Parameters
    ----------
    source : str
        The model, as it was named.
    cut : CutSettings
    dense : dict
        Figures of the dense model.
    small : nn.Module
        The cut model; its parameters may be on the meta device.
    ratio : float
        Dense over remaining, of what is ``counted``.
    counted : str
    seconds : float
    """
    return {
        "source": source,
        "family": bind(small).spec.family,
        "model_class": type(small).__name__,
        "method": cut.method,
        "criterion": cut.criterion,
        "settings": asdict(cut),
        "dense": dense,
        "pruned": figures(small),
        "ratio": ratio,
        "counted": counted,
        "seconds": seconds,
        "provenance": provenance(seed=cut.tokens.seed),
    }


def figures(model: nn.Module) -> dict[str, Any]:
    """Return what a model has and costs; its parameters may be on the meta device."""
    bound = bind(model)
    family, shape, plan = bound.spec.family, bound.shape, bound.whole_plan
    return {
        "parameters": parameters(plan),
        "block_parameters": block_parameters(family, shape),
        "flops_per_token": flops_per_token(plan, context_tokens=FLOPS_CONTEXT_TOKENS),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in stored_tensors(model).values()),
        "layers": shape.n_layers,
        "heads": shape.heads_per_layer,
        "groups": shape.kv_groups_per_layer,
        "channels": shape.channels_per_layer,
        "tokens": shape.vocabulary,
    }

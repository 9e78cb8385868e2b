"""Checkpoints of ``transformers`` models, in one of two forms.

*Plain*: where the family's configuration can tell the cut, the folder is one that
``AutoModelFor....from_pretrained`` loads without secateur, with ``plan.json``, ``secateur.json`` and
``checksums.json`` beside.

*Own*: else only ``secateur.load`` reads it. Its ``config.json`` names a model type, and its weights lie in a
file, that ``transformers`` does not know, so that no loader can take the folder for a model of equal widths.
``secateur.json`` then holds the configuration from which, with the plan, the empty model is built.

Either form is loaded again and compared before the folder gets its name. ``secateur.json`` says which it is.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from secateur.core.errors import CheckpointError, SecateurError, UnsupportedArchitecture
from secateur.core.records import read_json
from secateur.models.binding import bind
from secateur.models.checkpoint_card import (
    CARD,
    TransformerDescription,
    describe,
    seal_folder,
    weight_files,
    write_card,
)
from secateur.models.checkpoint_files import CONFIG, PLAN, read_checksums, read_tensors, write_plan
from secateur.models.compact.change import WeightChange, read_change
from secateur.models.live_tensors import computed_buffers, put_tensors, require_values, stored_tensors
from secateur.models.loading_bars import no_bars
from secateur.models.older_readers import CODE, loading_call, write_for_older_readers, write_older_tokenizer
from secateur.models.pooling import modules_of
from secateur.models.round_trip import require_generates, require_same
from secateur.models.skeleton import skeleton
from secateur.models.stock import REFUSALS, auto_class, stock_twin
from secateur.models.token_ids import require_fitting_tokenizer
from secateur.models.unit_numbers import tell_dense_layer_numbers
from secateur.structure.plan import PruningPlan
from secateur.structure.spec import load_spec

WEIGHTS_PATTERN = "weights{suffix}.safetensors"
SHARD_SIZE = "4GB"
__all__ = ["config_values", "describe", "load", "load_tokenizer", "outline", "write"]

UNSTORED = ("_name_or_path", "transformers_version", "quantization_config", CODE)
PROBE_TEXT = "The bearing of pump 7 runs at 1,797 rpm."


def write(
    model: PreTrainedModel,
    folder: Path,
    *,
    plan: PruningPlan,
    weights: WeightChange | None,
    metadata: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase | None,
    final: Path,
) -> None:
    """Fill an empty folder, which will be named ``final``, and prove that it gives the model back.

    Raises
    ------
    UnsupportedArchitecture
        If the class is not one of ``transformers`` itself.
    CheckpointError
        If the folder does not give the model, or the tokenizer, back in either form, or the tokenizer has
        tokens that the model lacks.
    """
    if getattr(transformers, type(model).__name__, None) is not type(model):
        raise UnsupportedArchitecture(
            f"{type(model).__module__}.{type(model).__name__} is no class of the transformers package; only "
            "those are saved, because loading never executes code of a folder."
        )
    require_fitting_tokenizer(tokenizer, model, final)
    given: dict[str, Any] = {"plan": plan, "metadata": metadata, "tokenizer": tokenizer, "final": final}
    if weights is not None:
        reason = f"weights are stored in a compact form ({', '.join(weights.kinds)})"
        _write_own(model, folder, reason=reason, weights=weights, **given)
        return
    not_plain = _write_plain(model, folder, **given)
    if not_plain is not None:
        shutil.rmtree(folder)
        folder.mkdir()
        _write_own(model, folder, reason=not_plain, weights=None, **given)


def load(folder: Path) -> tuple[PreTrainedModel, WeightChange | None]:
    """Read a ``transformers`` model and its compact weights; see :func:`secateur.models.checkpoint.load`."""
    described = describe(folder)
    if described.form == "plain":
        model, change = _load_plain(folder, described), None
    else:
        model, change = _load_own(folder, described)
    require_values(model, folder)
    found = bind(model).shape
    if found != described.plan.result:
        raise CheckpointError(
            f"{folder} was loaded as {found.summary()}, but {PLAN} says {described.plan.result.summary()}; "
            "the configuration or the plan was changed."
        )
    return model.eval(), change


def outline(folder: Path, described: TransformerDescription) -> PreTrainedModel:
    """Return the model without its weights, every parameter on the meta device."""
    model_class = _model_class(described.model_class, folder)
    values = described.config
    plan: PruningPlan | None = _without_tokens(described.plan)
    if described.form == "plain":
        values, plan = read_json(folder / CONFIG), None
    try:
        config = model_class.config_class.from_dict(values)
        if plan is None:
            spec, shape = described.plan.family, described.plan.result
            plan = PruningPlan.identity(spec, shape)
        return skeleton(lambda: model_class(config), plan)
    except (SecateurError, *REFUSALS) as error:
        raise CheckpointError(f"{folder / PLAN} does not fit the configuration: {error}") from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer of a checkpoint; None where it was saved without one.

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    folder = Path(folder)
    if not (folder / "tokenizer_config.json").is_file():
        return None
    described = describe(folder)
    config = None
    try:
        if described.form == "own":
            config = _model_class(described.model_class, folder).config_class.from_dict(described.config)
        return AutoTokenizer.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False
        )
    except (OSError, *REFUSALS) as error:
        raise CheckpointError(f"the tokenizer in {folder} could not be read: {error}") from error


def _write_plain(
    model: PreTrainedModel,
    folder: Path,
    *,
    plan: PruningPlan,
    metadata: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase | None,
    final: Path,
) -> str | None:
    """Write a plain folder and prove it; return why it cannot be one, None if all is well."""
    twin = stock_twin(model)
    if twin is None:
        return "the configuration of the family cannot tell these widths"
    try:
        with no_bars():
            twin.save_pretrained(folder, max_shard_size=SHARD_SIZE)
        _write_tokenizer(folder, tokenizer)
        older = write_for_older_readers(folder)
        loads_with = (loading_call(auto_class(model), older=older), "secateur.load(folder)")
        write_card(folder, model_class=type(model), form="plain", loads_with=loads_with, metadata=metadata)
        _finish(model, folder, plan, tokenizer, final)
    except (CheckpointError, *REFUSALS) as error:
        return f"transformers does not give the model back from a plain folder: {error}"
    return None


def _write_own(
    model: PreTrainedModel,
    folder: Path,
    *,
    reason: str,
    weights: WeightChange | None,
    plan: PruningPlan,
    metadata: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase | None,
    final: Path,
) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in stored_tensors(model).items()}
    if weights is not None:
        tensors = weights.encoded(tensors)
        weights.write(folder)
    split = split_torch_state_dict_into_shards(
        tensors, filename_pattern=WEIGHTS_PATTERN, max_shard_size=SHARD_SIZE
    )
    for file, names in split.filename_to_tensors.items():
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
    generation = _generation_config(model)
    _write_tokenizer(folder, tokenizer)
    write_card(
        folder,
        model_class=type(model),
        form="own",
        loads_with=("secateur.load(folder)",),
        not_plain_because=reason,
        config=config_values(_with_dense_depth(model.config, plan)),
        generation_config=None if generation is None else config_values(generation),
        metadata=metadata,
    )
    _finish(model, folder, plan, tokenizer, final)


def _finish(
    model: PreTrainedModel,
    folder: Path,
    plan: PruningPlan,
    tokenizer: PreTrainedTokenizerBase | None,
    final: Path,
) -> None:
    """Write what both forms have, then read everything back and compare."""
    write_plan(folder, plan)
    modules_of(model).write(folder)
    seal_folder(folder)
    fresh, _ = load(folder)
    fresh.set_attn_implementation(model.config._attn_implementation)
    _in_types_of(fresh, model)
    # a removed layer may have been the last of a type (sliding, full) with tables of its own
    dispensable = frozenset(computed_buffers(model) if plan.removed_layers else ())
    require_same(model, fresh, final, dispensable=dispensable)
    if _generation_values(model) != _generation_values(fresh):
        raise CheckpointError(f"{final} was not written: the generation configuration does not come back.")
    require_generates(fresh, final)
    if tokenizer is not None:
        _require_same_tokenizer(tokenizer, load_tokenizer(folder), final)


def _write_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase | None) -> None:
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
        write_older_tokenizer(folder)


def _load_plain(folder: Path, described: TransformerDescription) -> PreTrainedModel:
    try:
        with no_bars():
            model, report = _model_class(described.model_class, folder).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype="auto", output_loading_info=True
            )
    except (OSError, SafetensorError, *REFUSALS) as error:
        raise CheckpointError(f"{folder} could not be loaded by transformers: {error}") from error
    faults = {name: sorted(map(str, report[name])) for name in report if report[name]}
    if faults:
        raise CheckpointError(f"{folder} does not hold the tensors that its configuration asks for: {faults}")
    return model


def _load_own(folder: Path, described: TransformerDescription) -> tuple[PreTrainedModel, WeightChange | None]:
    model, sealed = outline(folder, described), read_checksums(folder)
    files = weight_files(sealed)
    change, tensors = read_change(folder, sealed, read_tensors(folder, files))
    put_tensors(model, tensors, f"{folder} ({', '.join(files)})")
    if described.generation_config is not None:
        model.generation_config = GenerationConfig.from_dict(described.generation_config)
    return model, change


def _model_class(name: Any, folder: Path) -> type[PreTrainedModel]:
    found: Any = getattr(transformers, name, None) if isinstance(name, str) else None
    is_model = isinstance(found, type) and issubclass(found, PreTrainedModel)
    if not is_model or getattr(found, "config_class", None) is None:
        raise CheckpointError(
            f"{folder / CARD} names the class {name!r}; only model classes of the transformers package are "
            "built, never code of a folder."
        )
    return found


def _with_dense_depth(config: PreTrainedConfig, plan: PruningPlan) -> PreTrainedConfig:
    """The configuration that builds the layers before the cut.

    What a list told of a removed layer is gone; it is given that of its neighbour, since the layer is
    removed again.
    """
    config = deepcopy(config)
    first = 0
    for stack, size in zip(load_spec(plan.family).stacks, plan.shape.stack_sizes, strict=True):
        kept = [layer.index - first for layer in plan.layers if first <= layer.index < first + size]
        first += size
        setattr(config, stack.layer_count, size)
        for attribute in stack.per_layer:
            entries = getattr(config, attribute, None)
            if entries is not None:
                places = (max(0, bisect_right(kept, layer) - 1) for layer in range(size))
                setattr(config, attribute, [entries[place] for place in places])
        tell_dense_layer_numbers(config, kept, size)
    return config


def _without_tokens(plan: PruningPlan) -> PruningPlan:
    """The plan for a model that is built with the cut vocabulary."""
    result = plan.result
    shape = replace(plan.shape, vocabulary=result.vocabulary, other_parameters=result.other_parameters)
    return replace(plan, shape=shape, tokens=None)


def config_values(config: PreTrainedConfig | GenerationConfig) -> dict[str, Any]:
    """Return what a card holds of a configuration: every value, what only told of its origin left out."""
    values = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in values.items() if name not in UNSTORED}


def _generation_config(model: PreTrainedModel) -> GenerationConfig | None:
    """None for a model that generates nothing."""
    return getattr(model, "generation_config", None)


def _generation_values(model: PreTrainedModel) -> dict[str, Any]:
    config = _generation_config(model)
    values = {} if config is None else config.to_dict()
    return {name: value for name, value in values.items() if name not in UNSTORED}


def _in_types_of(fresh: PreTrainedModel, model: PreTrainedModel) -> None:
    """Bring computed buffers to the types that ``model`` was cast to; a loaded model has the finer ones."""
    found = computed_buffers(fresh)
    for name, buffer in computed_buffers(model).items():
        if name in found and found[name].is_floating_point():
            found[name].data = found[name].to(buffer.dtype)


def _require_same_tokenizer(
    tokenizer: PreTrainedTokenizerBase, fresh: PreTrainedTokenizerBase | None, final: Path
) -> None:
    same = fresh is not None and fresh.get_vocab() == tokenizer.get_vocab()
    if fresh is None or not same or fresh(PROBE_TEXT)["input_ids"] != tokenizer(PROBE_TEXT)["input_ids"]:
        raise CheckpointError(f"{final} was not written: its tokenizer does not come back as it was saved.")

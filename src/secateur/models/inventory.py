"""Check that a model's folder and its configuration agree: each stored tensor has its place, or is refused.

transformers leaves out stored tensors that its class has no place for, and makes up those that are missing.
Here every tensor is placed in the model, known to be harmless (values that are computed anyway, heads of
pre-training that the class does not use), or named in an error before anything is loaded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from secateur.core.errors import CheckpointError, UnsupportedArchitecture
from secateur.core.progress import progress
from secateur.models.empty_model import named_class
from secateur.models.live_tensors import stored_tensors
from secateur.models.shards import DTYPES, Shards, StoredTensor

FLOATS = ("F64", "F32", "F16", "BF16")

_COMPUTED = re.compile(
    r"(^|\.)(inv_freq|position_ids|token_type_ids|rotary_emb\.(cos|sin)_cached|embed_positions\.weights"
    r"|embed_positions\._float_tensor|(encoder|decoder)\.version)$"
)
_MASKS = re.compile(r"(^|\.)(attn|attention|crossattention|self_attn)\.(masked_)?bias$")
_PRETRAINING = re.compile(r"(^|\.)(pooler\.dense\.(weight|bias)|cls\.seq_relationship\.(weight|bias))$")

_QUANTISED = re.compile(
    r"\.(qweight|qzeros|scales|g_idx|weight_scale|weight_scale_inv|weight_scale_2|weight_zero_point"
    r"|weight_packed|weight_shape|weight_global_scale|input_scale|output_scale|[kqv]_scale|weight_g_idx"
    r"|SCB|CB|absmax|quant_map|nested_absmax|nested_quant_map|weight_format|quant_state\..*"
    r"|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)|w_scale|w_zp)$"
)
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"lora_|\.base_layer\.|ia3_|modules_to_save|prompt_encoder|adapter"),
        "They belong to an adapter: merge it first (peft: model.merge_and_unload()), and save the result.",
    ),
    (
        re.compile(r"(^|\.)(v_head|value_head|score_head|summary|reward_head|critic)\."),
        "They are a value head: save the language model without it.",
    ),
    (
        re.compile(
            r"(^|\.)(lm_head|embed_out|cls|classifier|score|qa_outputs|vocab_projector|generator_lm_head)\."
        ),
        "They are a head of the model: let 'architectures' in config.json name the class that has it.",
    ),
    (
        re.compile(r"(^|\.)(layers?|h|blocks?)\.\d+\."),
        "They belong to layers: config.json tells fewer than there are, or others; restore it.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Where each tensor of a model lies.

    Attributes
    ----------
    placed : mapping of str to StoredTensor
        By name in the model; tied tensors under their first name.
    harmless : tuple of str
        Stored tensors that the model computes by itself or does not use.
    dtype : torch.dtype
        Of most of the numbers.
    """

    placed: Mapping[str, StoredTensor]
    harmless: tuple[str, ...]
    dtype: torch.dtype


def take_inventory(model: PreTrainedModel, shards: Shards) -> Inventory:
    """Find the place of every stored tensor in an empty model, and check that all its numbers are finite.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        From :func:`secateur.models.empty_model.empty_model`.
    shards : Shards
        What its folder holds.

    Raises
    ------
    CheckpointError
        Naming the tensors that the model has no place for, that are missing or of another shape, that
        contradict each other where the model has only one (tied), or that hold NaN or infinite numbers.
    UnsupportedArchitecture
        If a weight is stored in a type that is none of floating-point numbers.
    """
    state = model.state_dict(keep_vars=True)
    found, harmless, unknown, converted = _by_name(model, shards, state)
    if unknown:
        _refuse_unknown(model, shards, unknown)
    _require_named_class(model, shards)
    placed: dict[str, StoredTensor] = {}
    missing: list[str] = []
    for first, tensor in stored_tensors(model).items():
        names = [name for name, other in state.items() if other is tensor]
        entries = [entry for name in names for entry in found.get(name, ())]
        if not entries:
            missing.append(first)
            continue
        if first not in converted:
            _require_shape(entries[0], tuple(tensor.shape))
            _require_alike(entries)
            _require_numbers(entries[0], tensor)
        placed[first] = entries[0]
    _require_all(model, shards, [] if converted else missing)
    _require_finite(chain.from_iterable(found.values()))
    return Inventory(placed=placed, harmless=tuple(sorted(harmless)), dtype=_main_dtype(placed.values()))


def require_unquantised(config: Any, shards: Shards) -> None:
    """Check that weights are numbers of their own, not codes that need scales.

    Raises
    ------
    UnsupportedArchitecture
        Naming the method, or the tensors that tell.
    """
    told = getattr(config, "quantization_config", None)
    if told is not None:
        told = told if isinstance(told, dict) else getattr(told, "to_dict", dict)()
        method = told.get("quant_method") or "unnamed"
        raise UnsupportedArchitecture(
            f"{shards.folder} holds weights quantised by '{method}' (quantization_config of its "
            "config.json); quantised weights cannot be cut or judged here. Give the original model."
        )
    scales = sorted(name for name in shards.tensors if _QUANTISED.search(name))
    if scales:
        raise UnsupportedArchitecture(
            f"{shards.folder} holds quantised weights: {_shown(scales)} belong to them. Give the model that "
            "they were made from."
        )


def _by_name(
    model: PreTrainedModel, shards: Shards, state: Mapping[str, Any]
) -> tuple[dict[str, list[StoredTensor]], list[str], list[str], set[str]]:
    """Sort stored tensors by their name in the model; transformers renames and converts some on loading."""
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters: list[Any] = [rule for rule in rules if not isinstance(rule, WeightRenaming)]
    ignored = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    found: dict[str, list[StoredTensor]] = defaultdict(list)
    harmless: list[str] = []
    unknown: list[str] = []
    converted: set[str] = set()
    for key, stored in shards.tensors.items():
        name, pattern = rename_source_key(key, renamings, converters, model.base_model_prefix, state)
        if name in state:
            found[name].append(stored)
            if pattern is not None:
                converted.add(name)
        elif _is_harmless(stored) or any(pattern.search(key) for pattern in ignored):
            harmless.append(key)
        else:
            unknown.append(key)
    return found, harmless, unknown, converted


def _is_harmless(stored: StoredTensor) -> bool:
    if _MASKS.search(stored.name):
        # a triangle of ones over positions, or its filling; a bias that was trained has one axis
        return len(stored.shape) == 4 or stored.shape in ((), (1,))
    return bool(_COMPUTED.search(stored.name) or _PRETRAINING.search(stored.name))


def _refuse_unknown(model: PreTrainedModel, shards: Shards, unknown: list[str]) -> None:
    advice = next((text for pattern, text in _ADVICE if any(map(pattern.search, unknown))), None)
    raise CheckpointError(
        f"{shards.folder} holds {len(unknown)} tensors that {type(model).__name__}, as its config.json "
        f"describes it, has no place for, so they would be lost: {_shown(unknown)}. "
        + (advice or "Restore the config.json that belongs to them, or save the model without them.")
    )


def _require_named_class(model: PreTrainedModel, shards: Shards) -> None:
    """Refuse to take a model with a head for one without, where no class is named and the head is tied."""
    prefix = f"{model.base_model_prefix}."
    if named_class(model.config) is not None or not model.base_model_prefix:
        return
    if all(name.startswith(prefix) for name in shards.tensors):
        raise CheckpointError(
            f"config.json of {shards.folder} names no class of transformers under 'architectures', but its "
            f"tensors are those of a model with a head (their names begin with '{prefix}'), which would be "
            'lost. Let it name the class, such as "architectures": ["LlamaForCausalLM"].'
        )


def _require_shape(stored: StoredTensor, shape: tuple[int, ...]) -> None:
    if stored.shape != shape:
        raise CheckpointError(
            f"{stored.path}: '{stored.name}' has shape {list(stored.shape)}, but the configuration tells "
            f"{list(shape)}; the two belong to different models."
        )


def _require_alike(entries: list[StoredTensor]) -> None:
    first = entries[0]
    for other in entries[1:]:
        same_kind = (first.dtype, first.shape) == (other.dtype, other.shape)
        if not same_kind or any(a != b for a, b in zip(first.pieces(), other.pieces(), strict=True)):
            raise CheckpointError(
                f"{first.path.parent}: '{first.name}' and '{other.name}' are one and the same in the model "
                "that config.json describes, but are stored with different values. If both were trained, set "
                '"tie_word_embeddings": false in config.json; else take one of them out.'
            )


def _require_numbers(stored: StoredTensor, tensor: torch.Tensor) -> None:
    if tensor.is_floating_point() and stored.dtype not in FLOATS:
        raise UnsupportedArchitecture(
            f"{stored.path}: '{stored.name}' is stored as {stored.dtype}; quantised weights cannot be cut, "
            f"give those that they were made from ({', '.join(FLOATS)})."
        )


def _require_all(model: PreTrainedModel, shards: Shards, missing: list[str]) -> None:
    computed = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_missing or ()]
    missing = [name for name in missing if not any(pattern.search(name) for pattern in computed)]
    if missing:
        raise CheckpointError(
            f"{shards.folder} lacks {len(missing)} tensors that its configuration asks for: "
            f"{_shown(missing)}; transformers would make them up at random. Restore the folder from a "
            "copy, or let 'architectures' in its config.json name the class that it holds."
        )


def _require_finite(stored: Iterable[StoredTensor]) -> None:
    tensors = [entry for entry in stored if entry.dtype in FLOATS]
    with progress("checking weights", sum(entry.nbytes for entry in tensors)) as bar:
        for entry in tensors:
            dtype, held = DTYPES[entry.dtype], bytearray()
            for piece in entry.pieces():
                held += piece
                whole = len(held) // dtype.itemsize * dtype.itemsize
                values = torch.frombuffer(held[:whole], dtype=dtype)
                held = held[whole:]
                if not all(torch.isfinite(extreme) for extreme in torch.aminmax(values)):
                    raise CheckpointError(
                        f"{entry.path}: '{entry.name}' holds numbers that are not finite (NaN or infinite); "
                        "the model is damaged. Restore it from a copy."
                    )
                bar.advance(len(piece))


def _main_dtype(placed: Iterable[StoredTensor]) -> torch.dtype:
    sizes: dict[str, int] = defaultdict(int)
    for stored in placed:
        if stored.dtype in FLOATS:
            sizes[stored.dtype] += stored.nbytes // DTYPES[stored.dtype].itemsize
    return DTYPES[max(sizes, key=lambda name: sizes[name])] if sizes else torch.float32


def _shown(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

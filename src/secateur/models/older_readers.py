"""Write a plain folder so that transformers 4 reads the same model from it as transformers 5.

transformers 5 keeps all that concerns rotary positions under ``rope_parameters``, which transformers 4 passes
over: it would take its default base. Names of some settings of tokenizers changed too. Where version 5 reads
both forms, both are written; what version 4 cannot be told is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from secateur.core.records import read_json, write_json
from secateur.models.checkpoint_card import TOKENIZER_CONFIG

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
CODE = "auto_map"
"""Names the classes in a folder's own code, which is never run and not carried over."""
NOT_TRUE_ANY_MORE = (CODE, "pruned_heads")
"""Left out of configurations: the weights have the heads that they have; transformers 4 would prune again."""

_FAMILY_KEYS = {
    "gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    "modernbert": {"rope_theta": "global_rope_theta"},
    "modernbert-decoder": {"rope_theta": "global_rope_theta"},
}
_LOCAL_BASES = {
    "gemma3": "rope_local_base_freq",
    "gemma3_text": "rope_local_base_freq",
    "modernbert": "local_rope_theta",
}
_PERIODS = {"modernbert": "global_attn_every_n_layers"}
"""In transformers 4 every nth layer of these sees all tokens."""
_LAYER_TYPES = {"full_attention", "sliding_attention"}


def write_for_older_readers(folder: Path) -> bool:
    """Add the older forms to the configuration of a plain folder that was just written.

    Parameters
    ----------
    folder : Path
        With config.json.

    Returns
    -------
    bool
        Whether transformers 4 reads the same model; False where its configuration cannot tell it.
    """
    for name in (CONFIG, GENERATION_CONFIG):
        path = folder / name
        if path.is_file() and set(NOT_TRUE_ANY_MORE) & set(values := read_json(path)):
            write_json(path, {key: value for key, value in values.items() if key not in NOT_TRUE_ANY_MORE})
    return _write_older_config(folder)


def _write_older_config(folder: Path) -> bool:
    path = folder / CONFIG
    written = path.read_text(encoding="utf-8")
    values = json.loads(written)
    older = older_rope(values)
    if older is None:
        return False
    if "dtype" in values:
        older["torch_dtype"] = values["dtype"]
    expected = _as_read(folder, older)
    write_json(path, values | older)
    if _as_read(folder, older) != expected:
        path.write_text(written, encoding="utf-8")
        return False
    return True


def _as_read(folder: Path, older: Mapping[str, Any]) -> dict[str, Any]:
    """What the installed transformers reads, but for the older names themselves."""
    values = {**AutoConfig.from_pretrained(folder).to_dict(), **older}
    return values | {"rope_parameters": _without_older_name(values.get("rope_parameters"))}


def _without_older_name(rope: Any) -> Any:
    if not isinstance(rope, dict):
        return rope
    return {name: _without_older_name(value) for name, value in rope.items() if name != "type"}


def loading_call(name: str, *, older: bool) -> str:
    """Return how a plain folder is loaded with transformers, and by which versions, in words."""
    return f"transformers.{name}.from_pretrained(folder)" + ("" if older else " of transformers 5 or newer")


def older_rope(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what transformers 4 calls a configuration's rotary positions.

    Parameters
    ----------
    values : mapping
        Of a config.json that transformers 5 wrote.

    Returns
    -------
    dict or None
        Keys to add; None where transformers 4 has no words for them.
    """
    rope, family = values.get("rope_parameters"), values.get("model_type", "")
    if not rope:
        return {}
    if not all(isinstance(entry, dict) for entry in rope.values()):
        return _flat(rope, family)
    full, local = rope.get("full_attention"), rope.get("sliding_attention")
    if full is None or local is None or set(rope) != _LAYER_TYPES or local["rope_type"] != "default":
        return None
    told = _flat(full, family)
    if family in _PERIODS:
        period = _period(values["layer_types"])
        if period is None:
            return None
        told[_PERIODS[family]] = period
    if family in _LOCAL_BASES:
        return told | {_LOCAL_BASES[family]: local["rope_theta"]}
    return told if full["rope_theta"] == local["rope_theta"] else None


def _period(layer_types: Sequence[str]) -> int | None:
    """Every how many layers, from the first on, one sees all tokens; None where there is no such number."""
    for period in range(1, len(layer_types) + 1):
        if all((kind == "full_attention") == (i % period == 0) for i, kind in enumerate(layer_types)):
            return period
    return None


def _flat(rope: Mapping[str, Any], family: str) -> dict[str, Any]:
    names = _FAMILY_KEYS.get(family, {})
    scaling = dict(rope)
    told = {
        names.get(name, name): scaling.pop(name)
        for name in ("rope_theta", "partial_rotary_factor")
        if name in scaling
    }
    kind = scaling.get("rope_type", "default")
    if kind == "default":
        return told
    if family == "phi3":
        # there transformers 4 allows three entries alone, and reads this one from the configuration itself
        told["original_max_position_embeddings"] = scaling.pop("original_max_position_embeddings", None)
        scaling.pop("factor", None)
        del scaling["rope_type"]
    return told | {"rope_scaling": scaling | {"type": kind}}


def write_older_tokenizer(folder: Path) -> None:
    """Name the settings of a tokenizer that was just written as transformers 4 and 5 both read them."""
    path = folder / TOKENIZER_CONFIG
    values = read_json(path)
    values.pop(CODE, None)
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(values.get("extra_special_tokens"), list):
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    write_json(path, values)

"""Write the README.md of a cut model: its origin and licence, what was cut and measured, how it loads.

The licence is that of the model it was made from, whose licence files come along. Neither is sealed, so that
both may be edited.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from secateur.models.checkpoint_card import TransformerDescription, describe
from secateur.structure.counting import shape_parameters
from secateur.structure.shape import ModelShape

README = "README.md"
CAUSAL = ("ForCausalLM", "LMHeadModel")
LICENCE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
CARRIED_OVER = ("license", "license_name", "license_link", "language", "base_model")
_HEAD = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_LONGEST_README_BYTES = 1 << 20


def write_model_card(folder: Path, source: Path | None) -> None:
    """Write the README.md of a checkpoint, and copy the licence files of what it was made from.

    Parameters
    ----------
    folder : Path
        A sealed checkpoint.
    source : Path or None
        The folder of the model that it was made from, where it is known.
    """
    described = describe(folder, weights=False)
    carried = {} if source is None else head_of(source / README)
    licences = [] if source is None else _copy_licences(source, folder)
    origin = described.metadata.get("source")
    if "base_model" not in carried and isinstance(origin, str) and _is_hub_name(origin):
        carried["base_model"] = origin
    if "license" not in carried and licences:
        carried |= {"license": "other", "license_link": licences[0]}
    head = {
        **carried,
        "library_name": "transformers" if described.form == "plain" else "secateur",
        "tags": ["secateur", "pruned"],
        **({"pipeline_tag": "text-generation"} if described.model_class.endswith(CAUSAL) else {}),
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    body = "\n".join(_body(described, carried, licences))
    (folder / README).write_text(f"---\n{text}---\n\n{body}\n", encoding="utf-8")


def head_of(readme: Path) -> dict[str, Any]:
    """Return what the YAML head of a model's README.md says of licence, language and base; {} without one."""
    if not readme.is_file() or readme.stat().st_size > _LONGEST_README_BYTES:
        return {}
    found = _HEAD.match(readme.read_text(encoding="utf-8", errors="replace"))
    try:
        values = yaml.safe_load(found.group(1)) if found else None
    except (yaml.YAMLError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {name: values[name] for name in CARRIED_OVER if values.get(name)}


def _is_hub_name(origin: str) -> bool:
    return bool(_HUB_NAME.fullmatch(origin)) and not Path(origin).exists()


def _copy_licences(source: Path, folder: Path) -> list[str]:
    """Copy licence files; without ``.txt``, which files that loaders read end in."""
    copied = []
    for path in sorted({path for pattern in LICENCE_FILES for path in source.glob(pattern)}):
        if path.is_file():
            name = path.name.removesuffix(".txt")
            shutil.copyfile(path, folder / name)
            copied.append(name)
    return copied


def _body(
    described: TransformerDescription, carried: Mapping[str, Any], licences: list[str]
) -> Iterator[str]:
    metadata, plan = described.metadata, described.plan
    source = carried.get("base_model") or Path(str(metadata.get("source") or "a dense model")).name
    source = ", ".join(source) if isinstance(source, list) else source
    yield f"# {source}, cut by secateur\n"
    yield "| | before the cut | now |\n| --- | --- | --- |"
    before, now = _sizes(plan.family, plan.shape), _sizes(plan.family, plan.result)
    for name, value in before.items():
        yield f"| {name} | {value} | {now[name]} |"
    yield "\n## How it was cut\n"
    yield from _manner(metadata)
    yield "\n## What was measured\n"
    yield from _figures(metadata)
    yield "\n## How it loads\n"
    yield from (f"- `{way}`" for way in described.loads_with)
    if described.not_plain_because:
        yield f"\ntransformers alone does not load it: {described.not_plain_because}."
    yield "\n## Licence\n"
    if "license" in carried:
        named = carried.get("license_name") or carried["license"]
        files = f" ({', '.join(licences)})" if licences else ""
        yield f"That of the model it was made from: {named}{files}."
    else:
        yield "The model it was made from names none; ask its authors before you pass this one on."


def _sizes(family: str, shape: ModelShape) -> dict[str, str]:
    return {
        "parameters": f"{shape_parameters(family, shape):,}",
        "layers": str(shape.n_layers),
        "query heads a layer": _range(shape.heads_per_layer),
        "key/value groups a layer": _range(shape.kv_groups_per_layer),
        "feed-forward channels a layer": _range(shape.channels_per_layer),
        "tokens": f"{shape.vocabulary:,}",
    }


def _range(values: tuple[int, ...]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _manner(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata.get("criterion"):
        yield f"- units chosen by: {metadata['criterion']}"
    if metadata.get("calibration_sha256"):
        text = Path(str(metadata.get("calibration") or "a text")).name
        yield f"- calibrated on: {text} (SHA-256 {metadata['calibration_sha256'][:12]})"
    refit = metadata.get("refit") or {}
    if refit.get("projections"):
        of = len(refit["projections"])
        yield f"- re-fitted by least squares: {refit.get('adopted')} of {of} projections"
    if metadata.get("recovery"):
        yield "- trained after the cut (recovery)"
    if versions := (metadata.get("provenance") or {}).get("versions"):
        yield f"- with: secateur {versions.get('secateur')}, transformers {versions.get('transformers')}"
    if not metadata:
        yield "Nothing is recorded."


def _figures(metadata: Mapping[str, Any]) -> Iterator[str]:
    measured = False
    for name, found in (metadata.get("recovery_perplexity") or {}).items():
        yield f"- perplexity on held-out text, {name}: {found['perplexity']:.2f}"
        measured = True
    dense, pruned = metadata.get("dense") or {}, metadata.get("pruned") or {}
    for key, words in (("flops_per_token", "operations a token"), ("bytes", "bytes of weights")):
        if dense.get(key) and pruned.get(key):
            yield f"- {words}: {pruned[key]:,}, before {dense[key]:,}"
            measured = True
    yield (
        "- how well it predicts: "
        + ("see above; " if metadata.get("recovery_perplexity") else "not measured here; ")
        + "`secateur evaluate FOLDER --text FILE --against DENSE` measures it on your text"
    )
    if not measured:
        yield "- nothing else is recorded"

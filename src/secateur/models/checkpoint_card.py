"""What the folder of a ``transformers`` checkpoint says about itself, and the seals of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedModel

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json
from secateur.models.checkpoint_files import (
    CHECKSUMS,
    CONFIG,
    PLAN,
    read_checksums,
    read_plan,
    require_checksums,
    require_files,
    seal,
)
from secateur.structure.plan import PruningPlan

SCHEMA_VERSION = 2
CARD = "secateur.json"
OWN_MODEL_TYPE = "secateur"
READ_SUFFIXES = (".json", ".safetensors", ".bin", ".jinja", ".txt", ".model", ".py")
"""Files of these kinds decide what loaders make of a folder; none may be there that is not sealed."""

TRAINER_FILES = ("training_args.bin", "trainer_state.json", "optimizer.bin", "scheduler.bin")
"""What a trainer keeps beside the model that it saves; never opened here."""
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_FILES = (
    TOKENIZER_CONFIG,
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)
"""What a trainer adds to a model that it saves without one."""

Form = Literal["plain", "own"]


@dataclass(frozen=True, kw_only=True)
class TransformerDescription:
    """What the checkpoint of a ``transformers`` model says about itself, without its tensors.

    Attributes
    ----------
    model_class : str
        Name of its class in ``transformers``.
    form : {"plain", "own"}
        Whether ``transformers`` loads it, or secateur alone.
    loads_with : tuple of str
        The functions that load it, in words.
    not_plain_because : str or None
        Why it is not a plain folder.
    config : dict
        Of the own form: the configuration of the model before the cut, its vocabulary aside.
    generation_config : dict or None
        Of the own form.
    plan : PruningPlan
        What was kept of the dense model; the identity for a dense model.
    metadata : dict
        What was given on saving.
    """

    model_class: str
    form: Form
    loads_with: tuple[str, ...]
    not_plain_because: str | None
    config: dict[str, Any]
    generation_config: dict[str, Any] | None
    plan: PruningPlan
    metadata: dict[str, Any]


def write_card(
    folder: Path,
    *,
    model_class: type[PreTrainedModel],
    form: Form,
    loads_with: tuple[str, ...],
    metadata: dict[str, Any],
    not_plain_because: str | None = None,
    config: dict[str, Any] | None = None,
    generation_config: dict[str, Any] | None = None,
) -> None:
    """Write what a folder says about itself; see :class:`TransformerDescription`.

    In the own form this is also a ``config.json`` that ``transformers`` refuses by name.
    """
    card = {
        "schema_version": SCHEMA_VERSION,
        "kind": "transformer",
        "form": form,
        "loads_with": loads_with,
        "not_plain_because": not_plain_because,
        "model_class": model_class.__name__,
        "config": config,
        "generation_config": generation_config,
        "metadata": metadata,
    }
    write_json(folder / CARD, card)
    if form == "own":
        told: dict[str, Any] = {
            "model_type": OWN_MODEL_TYPE,
            "architectures": [model_class.__name__],
            "loads_with": loads_with,
        }
        if (
            config is not None and "vocab_size" in config
        ):  # adapters ask whether the vocabulary of their base was changed
            told["vocab_size"] = config["vocab_size"]
        write_json(folder / CONFIG, told)


def seal_folder(folder: Path) -> None:
    """Write the checksums of all files that are there."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    seal(folder, [path.relative_to(folder).as_posix() for path in files])


def describe(folder: Path, *, weights: bool = True) -> TransformerDescription:
    """Read card, plan and metadata; see :func:`secateur.models.checkpoint.describe`.

    Without ``weights`` the checksums of the files that hold tensors are not computed, which takes long.
    """
    require_files(folder, (CARD, CONFIG, PLAN))
    expected = read_checksums(folder)
    if not {CARD, CONFIG, PLAN} <= set(expected) or not weight_files(expected):
        raise CheckpointError(
            f"{folder / CHECKSUMS} must name {CARD}, {CONFIG}, {PLAN} and the weights; it is damaged."
        )
    unread = set() if weights else set(weight_files(expected))
    require_checksums(folder, {name: digest for name, digest in expected.items() if name not in unread})
    beside = TRAINER_FILES if TOKENIZER_CONFIG in expected else (*TRAINER_FILES, *TOKENIZER_FILES)
    for path in sorted(folder.iterdir()):
        if path.suffix in READ_SUFFIXES and path.name not in {*expected, CHECKSUMS, *beside}:
            raise CheckpointError(
                f"{path} does not belong to the checkpoint and could change what is loaded; take it away."
            )
    content = read_json(folder / CARD)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{folder / CARD} has schema version {version!r}; this release reads version {SCHEMA_VERSION}."
        )
    try:
        described = TransformerDescription(
            model_class=content["model_class"],
            form=content["form"],
            loads_with=tuple(content["loads_with"]),
            not_plain_because=content["not_plain_because"],
            config=content["config"] or {},
            generation_config=content["generation_config"],
            plan=read_plan(folder),
            metadata=content["metadata"],
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / CARD} is not valid ({type(error).__name__}: {error}).") from error
    if described.form not in ("plain", "own"):
        raise CheckpointError(f"{folder / CARD} names the form {described.form!r}; it is 'plain' or 'own'.")
    return described


def weight_files(names: dict[str, str]) -> list[str]:
    """Return the files among sealed ones that hold tensors of the model; those in folders are of others."""
    return sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)

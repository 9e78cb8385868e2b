"""GGUF files: read once with transformers, kept as a plain safetensors folder in the user's cache."""

from __future__ import annotations

import os
import struct
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.files import folder_aside, sha256_of
from secateur.core.progress import console
from secateur.models.loading_bars import no_bars
from secateur.models.shards import open_shards

CACHE_VARIABLE = "SECATEUR_CACHE"


def gguf_file(source: Path) -> Path | None:
    """Return the GGUF file that ``source`` is or holds, None where there is none.

    Raises
    ------
    ConfigError
        If a folder holds several.
    """
    if source.is_file():
        return source if source.suffix == ".gguf" else None
    found = sorted(source.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ConfigError(f"{source} holds {len(found)} GGUF files; name one of {names}.")
    return found[0] if found else None


def converted(path: Path) -> Path:
    """Return the folder of a GGUF file's model in float32 with its tokenizer, converted on first use.

    The folder lies under ``$SECATEUR_CACHE`` (by default the user's cache folder), named after the file's
    checksum, and appears only when it is whole.

    Raises
    ------
    ConfigError
        If the package that reads GGUF is not installed.
    CheckpointError
        If the file is damaged or of a kind that transformers does not read.
    """
    folder = _cache() / "gguf" / sha256_of(path)[:32]
    if _is_whole(folder):
        return folder
    if find_spec("gguf") is None:
        raise ConfigError(f"{path} is a GGUF file; install what reads it: pip install 'secateur[gguf]'.")
    console.print(f"converting {path.name} once, to {folder} ...")
    with no_bars():
        _convert(path, folder)
    return folder


def _convert(path: Path, folder: Path) -> None:
    place = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    try:
        loaded, report = AutoModelForCausalLM.from_pretrained(
            **place, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except (ValueError, OSError, LookupError, RuntimeError, struct.error) as error:
        raise CheckpointError(f"{path} could not be read as a GGUF model: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"{path} lacks {len(missing)} weights ({', '.join(missing[:5])}, ...).")
    with folder_aside(folder) as aside:
        # a model loaded from GGUF refuses to be saved; a fresh one with its weights does not
        config = AutoConfig.for_model(**{**loaded.config.to_dict(), "quantization_config": None})
        fresh = type(loaded)(config)
        fresh.load_state_dict(loaded.state_dict())
        fresh.tie_weights()
        fresh.generation_config = loaded.generation_config
        fresh.save_pretrained(aside)
        tokenizer.save_pretrained(aside)


def _is_whole(folder: Path) -> bool:
    if not (folder / "config.json").is_file():
        return False
    try:
        open_shards(folder)
    except CheckpointError:
        return False
    return True


def _cache() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "secateur"

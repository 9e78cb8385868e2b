"""Fetch a model from the hub into its local cache: the files that secateur reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from secateur.core.errors import ConfigError
from secateur.models.empty_model import described

DESCRIPTION = ("config.json", "generation_config.json", "README.md", "LICENSE*")
WHOLE = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md", "LICENSE*", "NOTICE*")
NOT_READ = ("[!0-9]*/*", "consolidated*")
"""Other folders than those of modules of sentence-transformers, such as ``1_Pooling``."""


def fetch(name: str, *, weights: bool) -> Path:
    """Return the local folder of a model on the hub, fetched if it is not there or no longer the newest.

    Parameters
    ----------
    name : str
        Such as ``"HuggingFaceTB/SmolLM2-135M"``.
    weights : bool
        Whether weights and tokenizer are wanted; else the configuration alone.

    Raises
    ------
    ConfigError
        If there is no such model, it may not be read, or the hub cannot be reached.
    """
    try:
        wanted = WHOLE if weights else DESCRIPTION
        return Path(snapshot_download(name, allow_patterns=list(wanted), ignore_patterns=list(NOT_READ)))
    except Exception as error:  # the hub's client raises those of several packages
        raise ConfigError(
            f"{name} could not be opened: there is no such folder here, and the hub did not give it "
            f"({described(error)}) Give a local folder, or check the name and the network."
        ) from error

"""Models that others have trained: a transformers folder, a GGUF file, or a hub id; and our checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoConfig, AutoTokenizer, PreTrainedModel

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.progress import console
from secateur.core.records import read_json
from secateur.models import checkpoint
from secateur.models.empty_model import class_of as class_of
from secateur.models.empty_model import described, empty_model
from secateur.models.gguf import converted, gguf_file
from secateur.models.hub import fetch
from secateur.models.inventory import Inventory, require_unquantised, take_inventory
from secateur.models.loading_bars import no_warnings
from secateur.models.older_readers import CODE
from secateur.models.pooling import MEAN, POOLING, read_modules, read_pooling, remember_modules
from secateur.models.shards import open_shards
from secateur.models.token_ids import require_fitting_tokenizer

PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ADAPTER, GENERATION = "adapter_config.json", "generation_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model with what goes with it.

    Attributes
    ----------
    model : PreTrainedModel
        On the CPU, in evaluation mode.
    tokenizer : object or None
        None where the folder has none.
    source : str
        As it was named.
    folder : Path
        Where its files lie.
    """

    model: PreTrainedModel
    tokenizer: Any
    source: str
    folder: Path


def open_pretrained(source: str | Path, *, dtype: torch.dtype | None = None) -> Pretrained:
    """Open a model that transformers knows; no code from its folder is run.

    Parameters
    ----------
    source : str or Path
        A folder of safetensors, a GGUF file or a folder with one (converted to float32 once and cached), the
        id of a model on the hub, or a checkpoint of secateur that holds a ``transformers`` model.
    dtype : torch.dtype, optional
        Default: as stored.

    Raises
    ------
    ConfigError
        If there is no such folder, no such model on the hub can be reached, or the folder holds weights only
        as pickles, which are not read, or an adapter.
    CheckpointError
        If a shard is missing or damaged, the weights are not those that the configuration describes (see
        :func:`secateur.models.inventory.take_inventory`), or the tokenizer does not belong to the model; all
        of it before anything is loaded.
    UnsupportedArchitecture
        If transformers itself has no class for it, or weights are quantised.
    """
    folder = folder_of(source)
    if checkpoint.kind_of(folder) is not None:
        return _open_checkpoint(folder, dtype)
    config = read_config(folder)
    if getattr(config, CODE, None):
        console.print(
            f"{folder} brings code of its own, which is never run; opened as {class_of(config).__name__} of "
            "transformers"
        )
    tokenizer = open_tokenizer(folder)
    with no_warnings():
        inventory = inventory_of(folder, config)
        model = _load(folder, config, inventory, dtype)
    require_fitting_tokenizer(tokenizer, model, folder)
    remember_modules(model, read_modules(folder))
    return Pretrained(model=model, tokenizer=tokenizer, source=str(source), folder=folder)


def inventory_of(folder: Path, config: Any) -> Inventory:
    """Check that a folder's weights are whole and those that its configuration describes.

    Raises
    ------
    ConfigError, CheckpointError, UnsupportedArchitecture
        See :func:`open_pretrained`.
    """
    if any((folder / name).is_file() for name in PICKLED) and not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{folder} holds its weights only as pickles, which can run code and are not read; where you "
            "trust them, load them with transformers and write safetensors by model.save_pretrained(folder)."
        )
    if (folder / GENERATION).is_file():
        read_json(folder / GENERATION)  # transformers would go on without one that is damaged
    shards = open_shards(folder)
    require_unquantised(config, shards)
    return take_inventory(empty_model(config, folder), shards)


def folder_of(source: str | Path, *, weights: bool = True) -> Path:
    """Return the folder that holds a model: a GGUF file is converted, a name on the hub fetched.

    Parameters
    ----------
    source : str or Path
        As for :func:`open_pretrained`.
    weights : bool
        Whether weights and tokenizer are wanted of a name on the hub; else its configuration alone.

    Raises
    ------
    ConfigError
        If a path is named that does not exist, or the hub does not give the model.
    """
    path = Path(source)
    if not path.exists():
        if isinstance(source, Path) or str(source).count("/") > 1 or str(source).startswith((".", "/")):
            raise ConfigError(
                f"{source} does not exist; give a folder with a model, a GGUF file, or a hub id."
            )
        return fetch(str(source), weights=weights)
    if not any(path.glob("*.safetensors")) and (found := gguf_file(path)):
        return converted(found)
    if path.is_file():
        raise ConfigError(f"{path} is a file but no GGUF model; give the folder that holds the model.")
    return path


def read_config(folder: Path) -> Any:
    """Return the configuration of the model in a folder, whose weights need not be there.

    Raises
    ------
    CheckpointError
        If it is no JSON.
    ConfigError
        If there is none, it is that of an adapter, or transformers refuses its values.
    UnsupportedArchitecture
        If transformers does not know the model.
    """
    _require_no_adapter(folder)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no config.json; give the folder of a checkpoint or of a transformers model."
        )
    content = read_json(folder / "config.json")
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        raise ConfigError(f"{folder / 'config.json'} names no 'model_type'; it describes no model.")
    if content["model_type"] not in CONFIG_MAPPING:
        raise UnsupportedArchitecture(
            f"{folder / 'config.json'} tells the model type '{content['model_type']}', which transformers "
            f"{transformers.__version__} does not know; code from a model's folder is never run."
        )
    try:
        with no_warnings():
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # any value can stand in a configuration, and raise anything
        raise ConfigError(
            f"transformers refuses the configuration of {folder}: {described(error)}"
        ) from error
    if (pooling := read_pooling(folder)) != MEAN:
        setattr(config, POOLING, pooling)
    return config


def open_tokenizer(folder: Path) -> Any:
    """Return the tokenizer beside a model, None where its folder has none.

    Raises
    ------
    CheckpointError
        If it is there but cannot be read.
    UnsupportedArchitecture
        If only code of its own, which is never run, could read it.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    try:
        with no_warnings():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers raise plain Exceptions on files that are damaged
        if "trust_remote_code" in str(error):
            raise UnsupportedArchitecture(
                f"the tokenizer of {folder} needs code of its own (auto_map in tokenizer_config.json), which "
                "is never run; save one of the classes of transformers in its place."
            ) from None
        raise CheckpointError(f"the tokenizer of {folder} could not be read: {described(error)}") from error


def _open_checkpoint(folder: Path, dtype: torch.dtype | None) -> Pretrained:
    if checkpoint.kind_of(folder) == "diagnoser":
        raise ConfigError(f"{folder} holds a Diagnoser of vibration, not a transformers model by itself.")
    model = checkpoint.load(folder)
    return Pretrained(
        model=model if dtype is None else model.to(dtype),
        tokenizer=checkpoint.load_tokenizer(folder),
        source=str(folder),
        folder=folder,
    )


def _load(folder: Path, config: Any, inventory: Inventory, dtype: torch.dtype | None) -> PreTrainedModel:
    try:
        model, report = class_of(config).from_pretrained(
            folder,
            config=config,
            dtype=dtype or inventory.dtype,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # whatever transformers raises on weights of another model
        raise CheckpointError(f"the model in {folder} could not be loaded: {described(error)}") from error
    lost = set(report["unexpected_keys"]) - set(inventory.harmless)
    if faults := sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"], *lost))):
        raise CheckpointError(
            f"the weights of {folder} do not fit its configuration: transformers finds no place or no value "
            f"for {', '.join(faults[:5])}."
        )
    return model.eval()


def _require_no_adapter(folder: Path) -> None:
    if (folder / ADAPTER).is_file():
        raise ConfigError(
            f"{folder} holds an adapter ({ADAPTER}), not a model of its own. Merge it into the model that it "
            "was trained on and give the new folder: secateur.save(secateur.load(folder), new) for one of "
            "a cut model, model.merge_and_unload() of peft and save_pretrained for others."
        )

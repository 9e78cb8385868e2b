"""Models that others have trained: a transformers folder, a GGUF file, or a hub id; and our checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from secateur.core.errors import CheckpointError, ConfigError, SecateurError, UnsupportedArchitecture
from secateur.models import checkpoint
from secateur.models.calls import is_causal_lm as is_causal_lm
from secateur.models.gguf import converted, gguf_file
from secateur.models.loading_bars import no_bars
from secateur.models.shards import open_shards

PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
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
    folder : Path or None
        Where its files lie; None for a hub id.
    """

    model: PreTrainedModel
    tokenizer: Any
    source: str
    folder: Path | None


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
        If there is no such folder, and no such model on the hub can be reached.
    CheckpointError
        If a shard is missing or damaged (named before anything is loaded), weights are missing, or the
        weights are there only as pickles, which are not read.
    UnsupportedArchitecture
        If transformers itself has no class for it.
    """
    folder = local_folder(source)
    if folder is not None and checkpoint.kind_of(folder) is not None:
        return _open_checkpoint(folder, dtype)
    place = str(source) if folder is None else folder
    config = read_config(place)
    if folder is not None:
        _require_sound_weights(folder)
    with no_bars(), _no_warnings():
        model = _load(place, config, dtype)
    return Pretrained(model=model, tokenizer=open_tokenizer(place), source=str(source), folder=folder)


def local_folder(source: str | Path) -> Path | None:
    """Return the folder that holds a local model, a GGUF file converted; None for a hub id.

    Raises
    ------
    ConfigError
        If a path is named that does not exist.
    """
    path = Path(source)
    if not path.exists():
        if isinstance(source, Path) or str(source).count("/") > 1 or str(source).startswith((".", "/")):
            raise ConfigError(
                f"{source} does not exist; give a folder with a model, a GGUF file, or a hub id."
            )
        return None
    if not any(path.glob("*.safetensors")) and (found := gguf_file(path)):
        return converted(found)
    if path.is_file():
        raise ConfigError(f"{path} is a file but no GGUF model; give the folder that holds the model.")
    return path


def read_config(source: str | Path) -> Any:
    """Return the configuration of a model, whose weights need not be there.

    Raises
    ------
    ConfigError, CheckpointError
        As :func:`open_pretrained`.
    """
    folder = local_folder(source)
    if folder is not None and not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json; give the folder of a transformers model.")
    try:
        return AutoConfig.from_pretrained(str(source) if folder is None else folder, trust_remote_code=False)
    except OSError as error:
        raise _not_found(source, error) from error
    except (ValueError, KeyError) as error:
        raise UnsupportedArchitecture(
            f"transformers cannot read the configuration of {source}: {error}"
        ) from error


def class_of(config: Any) -> type[PreTrainedModel]:
    """Return the class of transformers' own that a configuration names.

    Raises
    ------
    UnsupportedArchitecture
        If it names none.
    """
    for name in config.architectures or ():
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, PreTrainedModel):
            return found
    try:
        return transformers.AutoModel._model_mapping[type(config)]
    except KeyError:
        raise UnsupportedArchitecture(
            f"the configuration names {config.architectures or 'no class'}, which transformers "
            f"{transformers.__version__} does not have; classes from a model's folder are never run."
        ) from None


def open_tokenizer(source: str | Path) -> Any:
    """Return the tokenizer beside a model, None where a local folder has none.

    Raises
    ------
    CheckpointError
        If it is there but cannot be read.
    """
    folder = local_folder(source)
    if folder is not None and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    try:
        return AutoTokenizer.from_pretrained(
            str(source) if folder is None else folder, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"the tokenizer of {source} could not be read: {error}") from error


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


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep transformers from telling what we check ourselves."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _load(place: str | Path, config: Any, dtype: torch.dtype | None) -> PreTrainedModel:
    try:
        model, report = class_of(config).from_pretrained(
            place,
            config=config,
            dtype=dtype or getattr(config, "dtype", None) or torch.float32,
            use_safetensors=True,
            output_loading_info=True,
        )
    except OSError as error:
        raise _not_found(place, error) from error
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"the weights of {place} do not fit its configuration: {error}") from error
    _require_all_weights(report, place)
    return model.eval()


def _require_sound_weights(folder: Path) -> None:
    if any((folder / name).is_file() for name in PICKLED) and not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} holds its weights only as pickles, which can run code and are not read; where you "
            "trust them, load them with transformers and write safetensors by model.save_pretrained(folder)."
        )
    open_shards(folder)


def _require_all_weights(report: dict[str, Any], source: str | Path) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        shown = ", ".join(missing[:5])
        raise CheckpointError(
            f"{source} lacks {len(missing)} weights that its configuration asks for ({shown}, ...); "
            "transformers would make them up at random. Restore the folder from a copy, or let "
            "'architectures' in its config.json name the class that it holds."
        )


def _not_found(source: str | Path, error: OSError) -> SecateurError:
    first = str(error).strip().splitlines()[0]
    return ConfigError(
        f"{source} could not be opened: {first} Give a local folder, or check the name and the network."
    )

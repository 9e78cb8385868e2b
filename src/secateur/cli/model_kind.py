"""Which of the two ways a command takes: that of recordings, or that of text."""

from __future__ import annotations

from pathlib import Path


def is_diagnoser(model: str, *, if_gone: bool) -> bool:
    """Whether a model is a Diagnoser's checkpoint.

    Parameters
    ----------
    model : str
        A path, or a name on a hub.
    if_gone : bool
        The answer for a path where there is nothing: each way tells of it in its own words.

    Raises
    ------
    ConfigError
        If there is something, but no model.
    """
    from secateur.core.errors import ConfigError
    from secateur.models.checkpoint import kind_of

    path = Path(model)
    kind = kind_of(path)
    models = [*path.glob("*config.json"), *path.glob("*.gguf")] if path.is_dir() else [path.suffix == ".gguf"]
    if path.exists() and kind is None and not any(models):
        raise ConfigError(
            f"{path} holds no model; give the folder of a checkpoint or of a transformers model (with its "
            "config.json), or a GGUF file."
        )
    return kind == "diagnoser" or (if_gone and not path.exists())

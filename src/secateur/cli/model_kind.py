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
    """
    from secateur.models.checkpoint import kind_of

    path = Path(model)
    return kind_of(path) == "diagnoser" or (if_gone and not path.exists())

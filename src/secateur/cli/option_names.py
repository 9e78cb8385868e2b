"""Options in messages: spelled as on the command line, whatever the library calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def as_on_the_command_line(message: str, parameters: Iterable[Any]) -> str:
    """Return a message in which parameters go by their options.

    Parameters
    ----------
    message : str
        Of the library, which says ``min_accuracy``.
    parameters : iterable of click.Parameter
        Of the command that runs.

    Returns
    -------
    str
        It says ``--min-accuracy``. Names of one word, and names within paths or quotes, stay as they are.
    """
    options = {
        p.name: p.opts[0] for p in parameters if p.name and "_" in p.name and p.opts[0].startswith("-")
    }
    if not options:
        return message
    names = "|".join(map(re.escape, options))
    return re.sub(rf"(?<![\w/.'\"-])({names})(?![\w/'\"=(-]|\.\w)", lambda found: options[found[1]], message)

"""Packages that rarer file formats need, and how to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from secateur.core.errors import ConfigError


def required(package: str, why: str) -> Any:
    """Import a package of the extra ``formats``.

    Raises
    ------
    ConfigError
        If it is not installed; the message says how to.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError:
        raise ConfigError(f"{why}; to read it, run: pip install 'secateur[formats]'") from None

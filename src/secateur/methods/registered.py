"""All shipped methods, registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secateur.core.errors import ConfigError
from secateur.methods import cascade, int4, magnitude, one_shot, rounds, scratch, svd
from secateur.methods.base import METHODS, Method
from secateur.methods.settings import CascadeSettings, RoundsSettings

__all__ = [
    "METHODS",
    "cascade",
    "changes_weights",
    "int4",
    "magnitude",
    "method_of",
    "one_shot",
    "require_none_of_units",
    "rounds",
    "scratch",
    "svd",
]


def method_of(name: str, *, cascade: CascadeSettings, rounds: RoundsSettings) -> Method:
    """Return the method of a name with its settings; those without settings of their own take the search."""
    chosen: Any = METHODS.get(name)
    if changes_weights(name):
        return chosen()
    return chosen({"cascade": cascade, "rounds": rounds}.get(name, cascade.search))


def changes_weights(method: str) -> bool:
    """Whether a method gives weights a compact form and removes no unit.

    Raises
    ------
    ConfigError
        If no method has that name.
    """
    return METHODS.get(method).changes == "weights"


def require_none_of_units(method: str, given: Mapping[str, bool]) -> None:
    """Refuse options that only removing units has a use for.

    Parameters
    ----------
    method : str
        One that changes weights.
    given : mapping of str to bool
        By what the options are called: whether they were given.

    Raises
    ------
    ConfigError
        Naming them.
    """
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise ConfigError(f"{', '.join(wrong)}: not for method '{method}'; leave out.")

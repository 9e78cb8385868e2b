"""Attributes of modules by path, with a configuration of its own for a module that needs one."""

from __future__ import annotations

from copy import copy
from typing import Any

from torch import nn


def read_attribute(module: nn.Module, path: str) -> Any:
    """Return the attribute at a dotted path."""
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name)
    return value


def set_attribute(module: nn.Module, path: str, value: Any) -> None:
    """Set the attribute at a dotted path.

    Where the path leads through ``config``, which all modules of a model share, the module is first given a
    copy of its own, unless the value is there already.
    """
    *owners, name = path.split(".")
    holder: Any = module
    for owner in owners:
        former, holder = holder, getattr(holder, owner)
        if owner == "config":
            if getattr(holder, name) == value:
                return
            holder = copy(holder)
            setattr(former, owner, holder)
    setattr(holder, name, value)

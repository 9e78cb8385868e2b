"""Check what a caller gives against annotations, so that a wrong type is told at once and by name."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from secateur.core.errors import ConfigError

WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    Path: "a path (pathlib.Path)",
    type(None): "None",
}
"""What types are called in messages; others go by their names."""

LONGEST_SHOWN = 80
C = TypeVar("C")


def typed(cls: type[C]) -> type[C]:
    """Let a dataclass check all its fields by their annotations, before its own ``__post_init__``.

    It stands below ``@dataclass``. Subclasses check all their fields too: they inherit or call it.
    """
    own = getattr(cls, "__post_init__", None)

    def checked(self: Any) -> None:
        require_types(vars(self), type(self))
        if own is not None:
            own(self)

    cls.__post_init__ = checked  # type: ignore[attr-defined]
    return cls


def require_types(given: Mapping[str, Any], declared: type) -> None:
    """Check values by the annotations that a class (a dataclass, a ``TypedDict``) has for their names.

    Parameters
    ----------
    given : Mapping
        Names without an annotation are left alone.
    declared : type

    Raises
    ------
    ConfigError
        Naming the first that does not fit, what was given, and what is allowed.
    """
    hints = _hints(declared)
    for name, value in given.items():
        if name in hints:
            require_type(name, value, hints[name])


def require_type(name: str, value: Any, annotation: Any) -> None:
    """Check one value by its annotation; a ``bool`` is no number, and NaN is none.

    Raises
    ------
    ConfigError
        If it does not fit.
    """
    if _fits(value, annotation):
        return
    if words := _choices(annotation):
        given = [value] if isinstance(value, str) else value
        if isinstance(given, list | tuple) and all(isinstance(entry, str) for entry in given):
            unknown = ", ".join(f"'{entry}'" for entry in given if entry not in words)
            if unknown:
                raise ConfigError(f"unknown {name} {unknown}; allowed: {', '.join(words)}.")
    shown = repr(value)
    shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
    raise ConfigError(f"{name} is {shown} ({type(value).__name__}); give {_said(annotation)}.")


@cache
def _hints(declared: type) -> Mapping[str, Any]:
    return typing.get_type_hints(declared)


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the annotation alone."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(part for entry in get_args(annotation) for part in _parts(entry))
    return (annotation,)


def _choices(annotation: Any) -> list[str]:
    """Return the words of literals, alone or as entries, where an annotation has any."""
    parts = list(_parts(annotation))
    parts += [entry for part in parts if get_origin(part) in (tuple, Sequence) for entry in get_args(part)]
    return [str(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]


def _fits(value: Any, annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if len(parts := _parts(annotation)) > 1:
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in inner)
    if annotation in (int, float):
        kind = Integral if annotation is int else Real
        return isinstance(value, kind) and not isinstance(value, bool) and value == value
    if origin is None:
        return isinstance(value, annotation)
    if not isinstance(value, origin):
        return False
    if issubclass(origin, Mapping):
        return all(_fits(key, inner[0]) and _fits(entry, inner[1]) for key, entry in value.items())
    if origin is tuple and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if issubclass(origin, Collection):
        # a text is a sequence of texts, and never meant as one
        return not isinstance(value, str | bytes) and all(_fits(entry, inner[0]) for entry in value)
    return True


def _said(annotation: Any) -> str:
    return " or ".join(_word(part) for part in _parts(annotation))


def _word(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"a tuple ({', '.join(_said(part) for part in inner)})"
    if origin is not None and issubclass(origin, Mapping):
        return f"a dict of {_said(inner[0])} to {_said(inner[1])}"
    if origin is not None:
        kind = {tuple: "tuple", Sequence: "list"}.get(origin, origin.__name__)
        return f"a {kind} whose entries are each {_said(inner[0])}"
    return WORDS.get(annotation, f"an instance of {annotation.__module__}.{annotation.__qualname__}")

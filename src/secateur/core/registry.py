"""Named choices, so that a wrong name is answered with the names that exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from secateur.core.errors import ConfigError

T = TypeVar("T")
E = TypeVar("E")


class Registry(Generic[T]):
    """A table of named objects of one kind.

    Parameters
    ----------
    kind : str
        What the objects are, in words for messages ("criterion", "method").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[E], E]:
        """Return a decorator that files an object under ``name``, and gives it back; a name is given once."""

        def file_under(entry: E) -> E:
            if name in self._entries:
                raise ConfigError(f"{self.kind} '{name}' is registered twice; choose another name.")
            self._entries[name] = cast(T, entry)
            return entry

        return file_under

    def get(self, name: str) -> T:
        """Return the object of that name.

        Raises
        ------
        ConfigError
            If there is none; the message lists the allowed names.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise ConfigError(f"unknown {self.kind} '{name}'; allowed: {', '.join(self.names())}.") from None

    def names(self) -> tuple[str, ...]:
        """All names, in the order in which they were registered."""
        return tuple(self._entries)

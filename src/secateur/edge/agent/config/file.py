"""Reads the configuration file and says everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from secateur.core.documents import read_yaml
from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.config.consistency import contradictions
from secateur.edge.agent.config.mistakes import mistakes
from secateur.edge.agent.config.parts import Part
from secateur.edge.agent.config.settings import AgentConfig

_LARGEST_FILE = 4 << 20
_MOST_TOLD = 40
AnyPart = TypeVar("AnyPart", bound=Part)


def read_config(path: Path) -> AgentConfig:
    """Read a configuration file; relative paths in it start at its folder.

    Raises
    ------
    ConfigError
        If it is missing, no YAML, holds unknown, missing or impossible values, or contradicts itself; the
        message names all of that.
    """
    config = read_entries(path)
    require_none(path, contradictions(config))
    return config


def read_entries(path: Path) -> AgentConfig:
    """Read a configuration file entry by entry, and leave open whether one contradicts another.

    Raises
    ------
    ConfigError
        If it is missing, no YAML, or holds unknown, missing or impossible values.
    """
    path = Path(path)
    try:
        value = read_yaml(path, limit=_LARGEST_FILE)
    except DataError as error:
        raise ConfigError(f"the configuration cannot be used: {error}") from None
    return _parsed(value, path)


def parse_config(value: object, path: Path) -> AgentConfig:
    """Check the content of a configuration file; see :func:`read_config`."""
    config = _parsed(value, path)
    require_none(path, contradictions(config))
    return config


def _parsed(value: object, path: Path) -> AgentConfig:
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no mapping; it must name at least 'machines'. See docs/agent.md.")
    try:
        config = AgentConfig.model_validate(value)
    except ValidationError as error:
        require_none(path, mistakes(error, AgentConfig))
        raise
    return _resolved(config, path.absolute().parent)


def require_none(path: Path, troubles: Iterable[str]) -> None:
    """Check that nothing is wrong with a configuration file.

    Raises
    ------
    ConfigError
        If something is; the message holds everything, up to a number that a person reads.
    """
    found = list(troubles)
    if not found:
        return
    told = found[0].rstrip(".")
    if len(found) > 1:
        parts = [f"({number}) {trouble.rstrip('.')}" for number, trouble in enumerate(found, start=1)]
        more = f"; and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        told = f"{len(found)} troubles: {'; '.join(parts[:_MOST_TOLD])}{more}"
    raise ConfigError(f"{path}: {told}. See docs/agent.md for what is allowed.")


def _resolved(part: AnyPart, folder: Path) -> AnyPart:
    """Return a part with all its relative paths made absolute."""
    changed: dict[str, object] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Path):
            changed[name] = folder / value
        elif isinstance(value, Part):
            changed[name] = _resolved(value, folder)
        elif isinstance(value, tuple) and value:
            changed[name] = tuple(
                _resolved(entry, folder)
                if isinstance(entry, Part)
                else folder / entry
                if isinstance(entry, Path)
                else entry
                for entry in value
            )
    return part.model_copy(update=changed)

"""Lists of numbers on the command line."""

from __future__ import annotations

from secateur.core.errors import ConfigError


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """Read ``16,64``.

    Raises
    ------
    ConfigError
        If a part is not a whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(
            f"{option} '{text}' is not a list of whole numbers; write {option} 16,64."
        ) from None

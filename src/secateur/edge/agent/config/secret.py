"""Passwords and tokens: the configuration names where they stand, and never holds them."""

from __future__ import annotations

import os

from pydantic import model_validator

from secateur.core.documents import require_regular_file
from secateur.core.errors import ConfigError, DataError
from secateur.edge.agent.config.parts import CONTROL, File, Part

_LARGEST = 64 << 10


class Secret(Part):
    """A password or token, named by the environment variable or the file that holds it.

    Attributes
    ----------
    env : str or None
        Name of an environment variable.
    file : Path or None
        A file; white space at its end is cut off.
    """

    env: str | None = None
    file: File | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_secret_in_the_file(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("a secret never stands in this file; write {env: NAME} or {file: PATH}")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either env or file")
        return self

    @property
    def where(self) -> str:
        """The place that holds it, for people."""
        return str(self.file) if self.env is None else f"the environment variable {self.env}"

    def read(self) -> str:
        """Return the secret.

        Raises
        ------
        ConfigError
            If the variable is not set, or the file cannot be read, is empty, or holds more than one line.
        """
        value = self._content() if self.env is None else os.environ.get(self.env, "")
        if not value:
            raise ConfigError(f"{self.where} holds no secret; set it before the agent starts.")
        if CONTROL.search(value):
            raise ConfigError(f"{self.where} must hold one line without control characters.")
        return value

    def _content(self) -> str:
        assert self.file is not None
        try:
            require_regular_file(self.file)
            with self.file.open("rb") as stream:
                content = stream.read(_LARGEST + 1)
            value = content.decode().rstrip()
        except (OSError, DataError, UnicodeDecodeError) as error:
            told = str(error).rstrip(".")
            raise ConfigError(f"the secret in {self.where} could not be read: {told}.") from None
        if len(content) > _LARGEST:
            raise ConfigError(f"{self.where} is larger than {_LARGEST >> 10} KiB; a secret is shorter.")
        return value


class Token(Secret):
    """A secret that goes into a header of HTTP."""

    def read(self) -> str:
        """Return the token; see :meth:`Secret.read`.

        Raises
        ------
        ConfigError
            Also if it holds something else than visible ASCII characters.
        """
        value = super().read()
        if not all("!" <= sign <= "~" for sign in value):
            raise ConfigError(f"{self.where} must hold visible ASCII characters alone, without spaces.")
        return value

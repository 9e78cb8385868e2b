"""What all parts of the configuration share: strict fields, names, secrets that stand elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from secateur.core.errors import ConfigError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that is safe in a topic, in a path and in an address: no slash, no wildcard."""

Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_LARGEST_SECRET = 64 << 10


class Part(BaseModel):
    """A part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    file: Path | None = None

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

    def read(self) -> str:
        """Return the secret.

        Raises
        ------
        ConfigError
            If the variable is not set, or the file cannot be read or is empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            where = f"the environment variable {self.env}"
        else:
            assert self.file is not None
            where = str(self.file)
            try:
                with self.file.open("rb") as stream:
                    value = stream.read(_LARGEST_SECRET).decode().rstrip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the secret in {where} could not be read: {error}.") from None
        if not value:
            raise ConfigError(f"{where} holds no secret; set it before the agent starts.")
        return value

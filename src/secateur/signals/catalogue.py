"""The public data sets that can be fetched, with their official addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from secateur.core.errors import ConfigError

_CATALOGUE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a data set.

    Parameters
    ----------
    name : str
        Path below the folder of the data set.
    address : str
        Where it is fetched from.
    sha256 : str or None
        Its checksum, where known.
    """

    name: str
    address: str
    sha256: str | None = None


class PublicDataSet(BaseModel):
    """A data set that anyone may download from its makers.

    ``address`` holds ``{file}`` where the name of each file goes; ``sha256`` maps file names to the
    checksums that are known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    home: str
    terms: str
    cite: str
    address: str
    files: list[str] = Field(min_length=1)
    sha256: dict[str, str] = {}

    @field_validator("files")
    @classmethod
    def _stay_below_the_folder(cls, names: list[str]) -> list[str]:
        for name in names:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ValueError(f"file name '{name}' leaves the folder of the data set")
        return names

    def remote_files(self) -> list[RemoteFile]:
        """Every file with its address and, where known, its checksum."""
        return [
            RemoteFile(
                name=name,
                address=self.address.replace("{file}", quote(name)),
                sha256=self.sha256.get(name),
            )
            for name in self.files
        ]


def public_data_sets(catalogue: Path = _CATALOGUE) -> dict[str, PublicDataSet]:
    """Read the catalogue.

    Parameters
    ----------
    catalogue : Path
        A YAML file of data sets by name; by default the one that comes with the package.

    Raises
    ------
    ConfigError
        If the catalogue has a fault.
    """
    try:
        entries = yaml.safe_load(catalogue.read_text(encoding="utf-8"))
        return {name: PublicDataSet.model_validate(entry) for name, entry in entries.items()}
    except (OSError, yaml.YAMLError, ValidationError, AttributeError) as error:
        raise ConfigError(f"{catalogue} is not a catalogue of data sets ({error}).") from None


def public_data_set(name: str, catalogue: Path = _CATALOGUE) -> PublicDataSet:
    """Return one data set of the catalogue.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    known = public_data_sets(catalogue)
    if name not in known:
        raise ConfigError(f"unknown data set '{name}'; allowed: {', '.join(known)}.")
    return known[name]

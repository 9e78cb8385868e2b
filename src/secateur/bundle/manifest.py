"""The manifest of a bundle: everything a device needs to know about a model, as checked JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Part):
    """Checksum and size of one file of the bundle."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class TensorRecord(_Part):
    """An input or output of the graph; a dimension is a number or a name such as ``batch``."""

    name: str
    dtype: Literal["float32"] = "float32"
    shape: tuple[int | str, ...]
    meaning: str


class LayerRecord(_Part):
    """Shape of one remaining layer; ``index`` is its position in the dense model."""

    index: int = Field(ge=0)
    heads: int = Field(ge=1)
    groups: int = Field(ge=1)
    channels: int = Field(ge=1)


class ParityRecord(_Part):
    """How far the graph's logits are from those of the checkpoint in float32."""

    max_abs_diff: float = Field(ge=0)
    tolerance: float = Field(gt=0)
    windows: int = Field(ge=1)


class MetricsRecord(_Part):
    """Figures of merit and the split they were measured on."""

    protocol: str
    leaks: bool
    leak_reason: str | None = None
    values: dict[str, float | None]


class LineageRecord(_Part):
    """Where the model comes from."""

    seed: int | None = None
    command: str | None = None
    time_utc: str | None = None
    versions: dict[str, str] = {}
    data_sha256: str | dict[str, str] | None = None
    plan_sha256: Sha256 | None = None


class GoldenRecord(_Part):
    """Windows (all inputs of the graph) with the ``logits`` that they must give."""

    file: FileName
    windows: int = Field(ge=1)
    tolerance: float = Field(gt=0)


class Manifest(_Part):
    """A bundle described.

    Attributes
    ----------
    labels : tuple of str
        Class names in the order of the logits.
    window_length : int
        Samples in a window.
    sampling_rate_hz : float
        Rate that the window must have; resample to it first.
    normalisation : str
        What the graph itself does to a window before anything else.
    front_end : dict
        Constants of the front end that lie inside the graph, for information.
    layers : tuple of LayerRecord
        Remaining layers in order.
    parameters : int
        Parameters of the model as deployed.
    precision : str
        Of weights and arithmetic.
    files : dict
        Every other file of the bundle by name.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    family: str
    labels: tuple[str, ...] = Field(min_length=2)
    window_length: int = Field(ge=2)
    sampling_rate_hz: float = Field(gt=0)
    normalisation: str
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    front_end: dict[str, Any]
    layers: tuple[LayerRecord, ...] = Field(min_length=1)
    parameters: int = Field(ge=1)
    precision: Literal["float32"] = "float32"
    files: dict[FileName, FileRecord]
    parity: ParityRecord
    metrics: MetricsRecord | None = None
    lineage: LineageRecord
    golden: GoldenRecord

    @model_validator(mode="after")
    def _model_and_golden_are_listed(self) -> Manifest:
        for name in (MODEL_FILE, self.golden.file):
            if name not in self.files:
                raise ValueError(f"files does not list {name}")
        if self.parity.max_abs_diff > self.parity.tolerance:
            raise ValueError("parity is worse than its own tolerance")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Parameters
    ----------
    folder : Path
        The bundle, such as ``DIR/bundle``.

    Raises
    ------
    CheckpointError
        If the manifest is missing, cut short, of another schema version, or holds unknown, missing or
        impossible fields; the message names the first of them.
    """
    path = Path(folder) / MANIFEST_FILE
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} has schema version {version!r}; this release reads version {SCHEMA_VERSION}. "
            "Export the model again."
        )
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the manifest"
        raise CheckpointError(
            f"{path} is not a valid manifest: {place}: {first['msg']} "
            f"({error.error_count()} problem(s) in all). Export the model again."
        ) from None

"""The manifest of a bundle: everything a device needs to know about a model, as checked JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secateur.bundle.source import open_source, read_file
from secateur.core.documents import parse_json
from secateur.core.errors import CheckpointError, DataError

READABLE_VERSIONS = (1, 2)
"""Version 1 knew one precision and neither quantisation nor rules for resampling."""

MANIFEST_FILE = "manifest.json"
MANIFEST_LIMIT = 4 << 20
MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.npz"

MOST_FILES = 1000
LOOSEST_GOLDEN, LOOSEST_PARITY = 1.0, 1000.0
"""Differences of a logit; more would let any model pass."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""What is shown to people: one line without control characters."""
Precision = Literal["float32", "bfloat16", "int8", "int4"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Described = TypeVar("Described", bound=BaseModel)


class Part(BaseModel):
    """A part of a manifest: unknown fields are refused, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileRecord(Part):
    """Checksum and size of one file of the bundle."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class TensorRecord(Part):
    """An input or output of the graph; a dimension is a number or a name such as ``batch``."""

    name: str
    dtype: Literal["float32"] = "float32"
    shape: tuple[int | str, ...]
    meaning: str


class LayerRecord(Part):
    """Shape of one remaining layer; ``index`` is its position in the dense model."""

    index: int = Field(ge=0)
    heads: int = Field(ge=1)
    groups: int = Field(ge=1)
    channels: int = Field(ge=1)


class ParityRecord(Part):
    """How far the graph is from the checkpoint in float32, and how far it may be.

    ``max_abs_diff`` and ``tolerance`` are of logits. Fewer bits are also held to the largest change of a
    probability and to the share of windows that both call alike.
    """

    max_abs_diff: float = Field(ge=0)
    tolerance: float = Field(gt=0, le=LOOSEST_PARITY)
    windows: int = Field(ge=1)
    max_probability_change: float | None = Field(default=None, ge=0)
    probability_tolerance: float | None = Field(default=None, gt=0)
    agreement: float | None = Field(default=None, ge=0, le=1)
    least_agreement: float | None = Field(default=None, ge=0, le=1)

    @property
    def holds(self) -> bool:
        """Whether every difference that has a tolerance was measured and is within it."""
        change, allowed = self.max_probability_change, self.probability_tolerance
        share, least = self.agreement, self.least_agreement
        return (
            self.max_abs_diff <= self.tolerance
            and (allowed is None or (change is not None and change <= allowed))
            and (least is None or (share is not None and share >= least))
        )


class MetricsRecord(Part):
    """Figures of merit and the split they were measured on.

    ``measured_on`` tells whether it was the checkpoint in float32 or the very files of this bundle;
    ``checkpoint_values`` are the figures of the checkpoint beside those of the bundle.
    """

    protocol: str
    leaks: bool
    leak_reason: str | None = None
    values: dict[str, float | None]
    measured_on: Literal["checkpoint", "bundle"] = "checkpoint"
    checkpoint_values: dict[str, float | None] | None = None


class QuantisationRecord(Part):
    """How weights (and activations) were brought to fewer bits.

    ``calibration_windows`` is 0 where ranges are found as the model runs, or weights alone are quantised.
    ``matrices`` counts the backbone's matrices by the precision that they are stored in; ``group_size`` is
    the number of neighbouring weights that share a scale, None for a whole column.
    """

    scheme: Literal["dynamic", "static", "weights"]
    calibration_windows: int = Field(ge=0)
    tool: str
    matrices: dict[Precision, int] | None = None
    group_size: int | None = Field(default=None, ge=1)


class ResamplingRecord(Part):
    """Which recordings at another rate may be brought to the rate of the windows."""

    allowed: bool
    lowest_hz: float = Field(gt=0)


class ChannelRecord(Part):
    """The channel of the recordings that the model was trained on, and its unit, where they were known."""

    name: str | None = None
    unit: str | None = None


class AbstentionRecord(Part):
    """When the model's answer is not good enough: thresholds, and what they were set on.

    Logits are divided by ``temperature`` before they become probabilities. An answer of less than
    ``least_confidence``, or a window whose energy (the logarithm of the summed exponentials of the divided
    logits) is below ``least_energy``, means "cannot say".
    """

    temperature: float = Field(gt=0, le=100)
    least_confidence: float = Field(ge=0, le=1)
    least_energy: float | None = None
    set_on: Literal["held-out specimens", "held-out machines", "windows of the training specimens"]
    windows: int = Field(ge=1)
    specimens: int = Field(ge=1)
    error_aimed_at: float = Field(gt=0, lt=1)


class VerdictRecord(Part):
    """Whether the model is fit for use, what speaks against it, and what could not be shown, in words."""

    fit_for_use: bool
    reasons: tuple[str, ...] = Field(default=(), max_length=20)
    cautions: tuple[str, ...] = Field(default=(), max_length=20)


class LineageRecord(Part):
    """Where the model comes from."""

    seed: int | None = None
    command: str | None = None
    time_utc: str | None = None
    versions: dict[str, str] = {}
    data_sha256: str | dict[str, str] | None = None
    plan_sha256: Sha256 | None = None


class GoldenRecord(Part):
    """Windows (all inputs of the graph) with the ``logits`` that they must give."""

    file: FileName
    windows: int = Field(ge=1, le=1024)
    tolerance: float = Field(gt=0, le=LOOSEST_GOLDEN)


class BundleManifest(Part):
    """What the manifests of all kinds of bundle hold.

    Attributes
    ----------
    layers : tuple of LayerRecord
        Remaining layers in order.
    parameters : int
        Parameters of the model as deployed, tied ones once.
    model_file : str
        The file that its runtime opens.
    quantisation : QuantisationRecord or None
        How it was brought to its precision.
    files : dict
        Every other file of the bundle by name, the signature aside.
    """

    name: Name
    family: Name
    layers: tuple[LayerRecord, ...] = Field(min_length=1)
    parameters: int = Field(ge=1)
    model_file: FileName = MODEL_FILE
    quantisation: QuantisationRecord | None = None
    files: dict[FileName, FileRecord] = Field(max_length=MOST_FILES)
    lineage: LineageRecord

    def require(self, *needed: str, parity_holds: bool) -> None:
        """Refuse a manifest that does not list a file it needs, or whose own parity fails."""
        for name in (self.model_file, *needed):
            if name not in self.files:
                raise ValueError(f"files does not list {name}")
        if not parity_holds:
            raise ValueError("parity is worse than its own tolerance")


class Manifest(BundleManifest):
    """The bundle of a Diagnoser described; see :class:`BundleManifest` for what all kinds hold.

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
    format : str
        What runs it.
    precision : str
        Of weights, and of arithmetic where the runtime has it.
    resampling : ResamplingRecord or None
        Rules for recordings at another rate; without them they are refused.
    channel : ChannelRecord or None
        The sensor that the model was trained on; of several, its channel is the one that is diagnosed.
    abstention : AbstentionRecord or None
        When the model's answer means "cannot say"; without it every answer counts.
    verdict : VerdictRecord or None
        Whether the run that made the model found it fit for use.
    """

    schema_version: Literal[1, 2] = 2
    labels: tuple[Name, ...] = Field(min_length=2, max_length=1000)
    window_length: int = Field(ge=2)
    sampling_rate_hz: float = Field(gt=0, le=10e6)
    normalisation: str
    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]
    front_end: dict[str, Any]
    format: Literal["onnx", "openvino", "executorch", "litert"] = "onnx"
    precision: Precision = "float32"
    resampling: ResamplingRecord | None = None
    channel: ChannelRecord | None = None
    abstention: AbstentionRecord | None = None
    verdict: VerdictRecord | None = None
    parity: ParityRecord
    metrics: MetricsRecord | None = None
    golden: GoldenRecord

    @property
    def hears_up_to_hz(self) -> float | None:
        """Knocks a second that the envelopes of the front end can follow; None if it does not say."""
        hop = self.front_end.get("envelope_hop")
        return self.sampling_rate_hz / hop / 2.0 if isinstance(hop, int) and hop > 0 else None

    @model_validator(mode="after")
    def _model_and_golden_are_listed(self) -> Manifest:
        self.require(self.golden.file, parity_holds=self.parity.holds)
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands there twice")
        described = {
            "waveform": self.window_length,
            "logits": len(self.labels),
            "probabilities": len(self.labels),
        }
        for tensor in (*self.inputs, *self.outputs):
            last = tensor.shape[-1] if tensor.shape else None
            if tensor.name in described and last != described[tensor.name]:
                raise ValueError(f"'{tensor.name}' ends in {last}; expected {described[tensor.name]}")
        return self


def read_manifest(bundle: Path) -> Manifest:
    """Read and check the manifest of a bundle.

    Parameters
    ----------
    bundle : Path
        Folder or archive, such as ``DIR/bundle``.

    Raises
    ------
    CheckpointError
        As :func:`parse_manifest`, or if there is none.
    """
    source = open_source(bundle)
    return parse_manifest(read_file(source, MANIFEST_FILE, limit=MANIFEST_LIMIT), source.place)


def parse_manifest(content: bytes, place: Path) -> Manifest:
    """Check the content of a manifest file.

    Parameters
    ----------
    content : bytes
        What the file holds.
    place : Path
        The bundle, for messages.

    Raises
    ------
    CheckpointError
        If the manifest is cut short, of another schema version, or holds unknown, missing or
        impossible fields; the message names the first of them.
    """
    return parse_as(Manifest, content, place, versions=READABLE_VERSIONS)


def parse_as(
    described: type[Described], content: bytes, place: Path, *, versions: Sequence[int]
) -> Described:
    """Check the content of a manifest file against one description.

    Parameters
    ----------
    described : type
        :class:`Manifest`, or that of another kind of bundle.
    content : bytes
        What the file holds.
    place : Path
        The bundle, for messages.
    versions : sequence of int
        Versions of its schema that this release reads, in order.

    Raises
    ------
    CheckpointError
        As :func:`parse_manifest`.
    """
    path = place / MANIFEST_FILE
    value = json_of(content, place)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version not in versions:
        newer = isinstance(version, int) and version > versions[-1]
        remedy = "Update secateur on this device." if newer else "Export the model again."
        raise CheckpointError(
            f"{path} has schema version {version!r}; this release reads "
            f"{'versions' if len(versions) > 1 else 'version'} {' and '.join(map(str, versions))}. {remedy}"
        )
    try:
        return described.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the manifest"
        raise CheckpointError(
            f"{path} is not a valid manifest: {field}: {first['msg']} "
            f"({error.error_count()} problem(s) in all). Export the model again."
        ) from None


def json_of(content: bytes, place: Path) -> Any:
    """Return the JSON value of a manifest file's content.

    Raises
    ------
    CheckpointError
        If it is none.
    """
    try:
        return parse_json(content, place / MANIFEST_FILE)
    except DataError as error:
        raise CheckpointError(str(error)) from None

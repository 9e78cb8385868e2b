"""Latency of a model on one machine, predicted from a table that was measured there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from secateur.core.errors import CheckpointError, PlanError
from secateur.core.records import read_json
from secateur.structure.shape import ModelShape

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Processor milliseconds of one layer at several widths, and of all that lies outside the layers.

    A layer is predicted as what it takes with so many heads and all channels, plus what it takes with all
    heads and so many channels, less what it takes with all of both: attention and feed-forward follow each
    other. Between measured widths and numbers of tokens the prediction is linear, and it never falls with the
    width.

    Parameters
    ----------
    family : str
        Name of the architecture specification.
    hidden : int
        Width of the residual stream.
    threads : int
        Threads of one operator.
    tokens, heads, channels : tuple of int
        Where it was measured, ascending; the last heads and channels are those of the dense layer.
    outside_ms : tuple of float
        For each number of tokens: final norm and the runtime's own work.
    heads_ms : tuple of tuple of float
        For each number of tokens and of heads: one layer with all channels.
    channels_ms : tuple of tuple of float
        For each number of tokens and of channels: one layer with all heads.
    window_tokens : int
        Tokens that the front end makes of a window.
    front_end_ms : float
        From a raw window to these tokens, and from the backbone to probabilities.
    checked : dict
        A model that is not in the table: its widths, ``predicted_ms`` and ``measured_ms``.
    provenance : dict
        Command, versions, machine, time.

    Raises
    ------
    PlanError
        If the numbers do not fit together.
    """

    family: str
    hidden: int
    threads: int
    tokens: tuple[int, ...]
    heads: tuple[int, ...]
    channels: tuple[int, ...]
    outside_ms: tuple[float, ...]
    heads_ms: tuple[tuple[float, ...], ...]
    channels_ms: tuple[tuple[float, ...], ...]
    window_tokens: int
    front_end_ms: float
    checked: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("tokens", "heads", "channels"):
            places = getattr(self, name)
            if not places or min(places) < 1 or list(places) != sorted(set(places)):
                raise PlanError(f"{name} {list(places)} of a latency table must be positive and ascending.")
        rows = {"heads_ms": self.heads, "channels_ms": self.channels}
        whole = len(self.outside_ms) == len(self.tokens) and all(
            [len(row) for row in getattr(self, name)] == [len(places)] * len(self.tokens)
            for name, places in rows.items()
        )
        if not whole:
            raise PlanError("a latency table needs one time for each number of tokens and each width.")

    def layer_ms(self, heads: int, channels: int, *, tokens: float) -> float:
        """Return the time of one layer; never less than nothing."""
        return max(0.0, self._at(tokens, [self._layer(row, heads, channels) for row in self._rows()]))

    def backbone_ms(self, shape: ModelShape, *, tokens: float) -> float:
        """Return the time of a backbone alone.

        Raises
        ------
        PlanError
            If the table is of another width, or was not measured around this number of tokens.
        """
        if shape.hidden != self.hidden:
            raise PlanError(
                f"the latency table is of width {self.hidden}, the model of width {shape.hidden}; measure "
                "one with 'secateur profile'."
            )
        layers = zip(shape.heads_per_layer, shape.channels_per_layer, strict=True)
        return self._at(tokens, self.outside_ms) + sum(
            self.layer_ms(heads, channels, tokens=tokens) for heads, channels in layers
        )

    def require_covers(self, family: str, shape: ModelShape) -> None:
        """Check that the table speaks of models of this kind.

        Raises
        ------
        PlanError
            If it is of another family or width, or layers are wider than any that was measured.
        """
        if (family, shape.hidden) != (self.family, self.hidden):
            raise PlanError(
                f"the latency table is of {self.family} backbones of width {self.hidden}, the model is "
                f"{family} of width {shape.hidden}; measure one for it with 'secateur profile'."
            )
        heads, channels = max(shape.heads_per_layer), max(shape.channels_per_layer)
        if heads > self.heads[-1] or channels > self.channels[-1]:
            raise PlanError(
                f"the latency table ends at {self.heads[-1]} heads and {self.channels[-1]} channels a layer, "
                f"the model has {heads} and {channels}; measure one for it with 'secateur profile'."
            )

    def diagnoser_ms(self, shape: ModelShape) -> float:
        """Return the time from a raw window to probabilities."""
        return self.front_end_ms + self.backbone_ms(shape, tokens=self.window_tokens)

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain JSON values."""
        return asdict(self)

    def _rows(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        return list(zip(self.heads_ms, self.channels_ms, strict=True))

    def _layer(self, row: tuple[Sequence[float], Sequence[float]], heads: int, channels: int) -> float:
        # less never takes longer: where a narrower layer was measured as the slower one, that is noise
        by_heads, by_channels = (np.maximum.accumulate(times) for times in row)
        dense = (by_heads[-1] + by_channels[-1]) / 2
        return (
            float(np.interp(heads, self.heads, by_heads))
            + float(np.interp(channels, self.channels, by_channels))
            - dense
        )

    def _at(self, tokens: float, values: Sequence[float]) -> float:
        if not self.tokens[0] <= tokens <= self.tokens[-1]:
            raise PlanError(
                f"{tokens} tokens lie outside the latency table, which goes from {self.tokens[0]} to "
                f"{self.tokens[-1]}; measure one with 'secateur profile --tokens {tokens}'."
            )
        return float(np.interp(tokens, self.tokens, values))


@dataclass(frozen=True, kw_only=True)
class LatencyLimit:
    """A bound on the time from a raw window to probabilities.

    Parameters
    ----------
    most : float
        Milliseconds; processor time for a table of one thread, else wall time.
    table : LatencyTable

    Raises
    ------
    PlanError
        If the bound is not positive.
    """

    name: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"

    most: float
    table: LatencyTable

    def __post_init__(self) -> None:
        if not 0 < self.most < float("inf"):
            raise PlanError(f"a latency of {self.most} ms was asked for; give a positive number.")

    def cost(self, family: str, shape: ModelShape) -> float:
        """Return the predicted milliseconds.

        Raises
        ------
        PlanError
            If the table is of other models.
        """
        self.table.require_covers(family, shape)
        return self.table.diagnoser_ms(shape)


def read_latency_table(path: Path) -> LatencyTable:
    """Read a table that ``secateur profile`` wrote.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or of another version.
    """
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} has schema version {version!r}; this release reads version {SCHEMA_VERSION}. Measure it "
            "again with 'secateur profile'."
        )
    known = {entry.name for entry in fields(LatencyTable)}
    if set(value) != known:
        odd = ", ".join(sorted(set(value) ^ known))
        raise CheckpointError(
            f"{path} is not a latency table (see {odd}); measure it with 'secateur profile'."
        )
    try:
        return LatencyTable(**{name: _tuples(entry) for name, entry in value.items()})
    except (PlanError, TypeError) as error:
        raise CheckpointError(f"{path} is not a latency table: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

"""A machine's own baseline: robust centre and spread of each indicator in each operating band."""

from __future__ import annotations

import bisect
import logging
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json, write_json
from secateur.edge.agent.config.machines import Commissioning, Sensor
from secateur.edge.agent.signal.indicators import is_level
from secateur.edge.robust import median_and_spread

log = logging.getLogger(__name__)

SAVE_EVERY_S = 600.0
MOST_VALUES = 4096
"""Values kept of an indicator while a band is learned; beyond, every second one goes."""

LEAST_SPREAD_LEVEL = 0.1
"""In natural logarithms: ten percent. A score of 10 is then at least 2.7 times the median."""

LEAST_SPREAD_LINE_DB = 1.0


class Centre(BaseModel):
    """Median and robust standard deviation; of the logarithm for levels, of the value in dB for lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    median: Annotated[float, Field(allow_inf_nan=False)]
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Learned(BaseModel):
    """A file of a baseline."""

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    basis: dict[str, Any] | None = None
    speed_bands_rpm: tuple[float, ...] = ()
    skipped: int = 0
    bands: dict[str, dict[str, Centre]] = {}
    learning: dict[str, dict[str, list[float]]] = {}
    strides: dict[str, int] = {}
    seen: dict[str, int] = {}


class Baseline:
    """The baseline of one sensor: learned band by band, then fixed until it is commissioned again.

    Parameters
    ----------
    settings : Commissioning
    path : Path, optional
        Where it is kept; it goes on from there.
    basis : dict, optional
        What the indicators rest on; a baseline that was learned on another basis is not used.

    Attributes
    ----------
    trouble : str
        Why the file cannot be read. Then nothing is judged by it, and nothing is learned until it is
        forgotten: what would be learned now may be a fault. Empty while all is well.
    """

    def __init__(
        self, settings: Commissioning, path: Path | None = None, *, basis: dict[str, Any] | None = None
    ) -> None:
        self._settings, self._path, self._basis = settings, path, basis
        self._saved_running_s: float | None = None
        self._is_saved = True
        self._learned = self._empty()
        self.trouble = ""
        if path is not None:
            try:
                found = _read(path)
            except CheckpointError as error:
                self.trouble = str(error)
                return
            if found is None:
                return
            if found.speed_bands_rpm == settings.speed_bands_rpm and found.basis in (None, basis):
                self._learned = found.model_copy(update={"basis": basis})
            else:
                log.warning("%s was learned with other settings of its sensor; it is learned anew", path)

    def _empty(self) -> _Learned:
        return _Learned(speed_bands_rpm=self._settings.speed_bands_rpm, basis=self._basis)

    def band(self, speed_rpm: float | None) -> str:
        """Return the name of the operating band of a speed."""
        edges = self._settings.speed_bands_rpm
        if not edges:
            return "all speeds"
        if speed_rpm is None:
            return "speed unknown"
        place = bisect.bisect_right(edges, speed_rpm)
        low = f"{edges[place - 1]:g}" if place else "0"
        return f"{low} to {edges[place]:g} rpm" if place < len(edges) else f"from {low} rpm"

    def is_learned(self, band: str) -> bool:
        """Whether there are limits for a band."""
        return band in self._learned.bands

    def learned_bands(self) -> set[str]:
        """Return the bands for which there are limits."""
        return set(self._learned.bands)

    def names(self) -> set[str]:
        """Return the indicators that are learned in any band."""
        return {name for centres in self._learned.bands.values() for name in centres}

    def progress(self, band: str) -> float:
        """Return the share of bursts that a band has seen, 1 if it is learned."""
        if self.is_learned(band):
            return 1.0
        return min(1.0, self._learned.seen.get(band, 0) / self._settings.bursts)

    def furthest(self) -> float:
        """Return the progress of the band that is learned best."""
        return max(map(self.progress, {*self._learned.bands, *self._learned.seen}), default=0.0)

    def learn(self, band: str, indicators: dict[str, float]) -> None:
        """Take the indicators of a sound burst; fix the band's limits when it has seen enough."""
        if self.trouble:
            return
        data, self._is_saved = self._learned, False
        if data.skipped < self._settings.skip_bursts:
            data.skipped += 1
            return
        count = data.seen.get(band, 0)
        data.seen[band] = count + 1
        stride = data.strides.setdefault(band, 1)
        values = data.learning.setdefault(band, {})
        if count % stride == 0:
            for name, value in indicators.items():
                values.setdefault(name, []).append(_transformed(name, value))
            if max(map(len, values.values())) >= MOST_VALUES:
                data.learning[band] = {name: entries[::2] for name, entries in values.items()}
                data.strides[band] = 2 * stride
        if data.seen[band] >= self._settings.bursts:
            data.bands[band] = {name: _centre(name, entries) for name, entries in data.learning[band].items()}
            data.learning.pop(band), data.strides.pop(band)
            self._try_to_save()

    def scores(
        self, band: str, indicators: dict[str, float], *, least_ratio: float = 1.0
    ) -> dict[str, float]:
        """Return how far each indicator lies above its baseline, in robust standard deviations.

        Parameters
        ----------
        band : str
            One that is not learned has no scores.
        indicators : dict
        least_ratio : float
            Levels below this multiple of their median score at most zero.

        Returns
        -------
        dict
            An indicator that the baseline does not know is left out.
        """
        centres = self._learned.bands.get(band, {})
        found = {}
        for name, value in indicators.items():
            centre = centres.get(name)
            if centre is None:
                continue
            distance = _transformed(name, value) - centre.median
            if is_level(name) and distance < math.log(least_ratio):
                distance = min(distance, 0.0)
            found[name] = distance / centre.spread
        return found

    def medians(self, band: str) -> dict[str, float]:
        """Return the median of each indicator in its own unit; empty if the band is not learned."""
        return {
            name: math.exp(centre.median) if is_level(name) else centre.median
            for name, centre in self._learned.bands.get(band, {}).items()
        }

    def values_at(self, band: str, score: float, *, least_ratio: float = 1.0) -> dict[str, float]:
        """Return the value of each indicator, in its own unit, from which :meth:`scores` gives that score."""
        found = {}
        for name, centre in self._learned.bands.get(band, {}).items():
            distance = score * centre.spread
            found[name] = (
                math.exp(centre.median + max(distance, math.log(least_ratio)))
                if is_level(name)
                else centre.median + distance
            )
        return found

    def forget(self) -> None:
        """Start to learn anew, for instance after a repair."""
        self._learned, self.trouble = self._empty(), ""
        self.save()

    def draft(self, *, empty: bool) -> Baseline:
        """Return one without a file that goes on from here or starts anew; it may be thrown away."""
        found = Baseline(self._settings, basis=self._basis)
        if not empty:
            found._learned = self._learned.model_copy(deep=True)
        return found

    def take(self, draft: Baseline) -> None:
        """Replace what is learned by that of a draft, and save it."""
        self._learned, self.trouble = draft._learned, ""
        self.save()

    def save(self) -> None:
        """Write it to its file, if it has one; a file that could not be read is left as it is."""
        if self._path is not None and not self.trouble:
            write_json(self._path, self._learned.model_dump())
        self._is_saved = True

    def save_now_and_then(self, running_s: float) -> None:
        """Save what was learned, so that a power cut takes ten minutes of it at most."""
        last_s = self._saved_running_s
        if self._is_saved or (last_s is not None and running_s - last_s < SAVE_EVERY_S):
            return
        self._saved_running_s = running_s
        self._try_to_save()

    def _try_to_save(self) -> None:
        try:
            self.save()
        except OSError as error:
            log.error("the baseline in %s could not be saved: %s", self._path, error)

    def summary(self) -> dict[str, object]:
        """Return what is learned, for people."""
        bands = sorted({*self._learned.bands, *self._learned.seen})
        return {
            "bursts_needed": self._settings.bursts,
            "trouble": self.trouble,
            "bands": {
                band: {
                    "learned": self.is_learned(band),
                    "progress": self.progress(band),
                    "medians": self.medians(band),
                    "spreads": {
                        name: centre.spread for name, centre in self._learned.bands.get(band, {}).items()
                    },
                }
                for band in bands
            },
        }


def basis_of(sensor: Sensor) -> dict[str, Any]:
    """Return the settings of a sensor that change what its indicators mean."""
    return sensor.model_dump(
        mode="json", include={"sampling_rate_hz", "burst_samples", "unit", "bearing", "indicators"}
    )


def baseline_file(state_folder: Path, machine: str, sensor: str) -> Path:
    """Return where the baseline of a sensor is kept; names may hold dots, so machines have folders."""
    return state_folder / "baselines" / machine / f"{sensor}.json"


def _transformed(name: str, value: float) -> float:
    return math.log(max(value, 1e-12)) if is_level(name) else value


def _centre(name: str, values: list[float]) -> Centre:
    least = LEAST_SPREAD_LEVEL if is_level(name) else LEAST_SPREAD_LINE_DB
    median, spread = median_and_spread(np.asarray(values), least_spread=least)
    return Centre(median=median, spread=spread)


def _read(path: Path) -> _Learned | None:
    former = path.parent.with_name(f"{path.parent.name}.{path.name}")
    if not path.exists() and former.exists():  # "a.b/c" and "a/b.c" had shared a file
        raise CheckpointError(
            f"{former} was written by an earlier version of secateur; move it to {path}, or learn the "
            "machine anew."
        )
    if not path.exists():
        return None
    try:
        return _Learned.model_validate(read_json(path))
    except (ValidationError, CheckpointError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).rstrip(".")
        raise CheckpointError(
            f"{path} is not a baseline ({told}); put a sound copy in its place, or learn the machine anew."
        ) from None

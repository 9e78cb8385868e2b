"""The configuration of machines: sensors, bearings, speeds, limits and commissioning."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from secateur.core.errors import ConfigError, SecateurError
from secateur.edge.agent.config.parts import Name, Part, PlantName, Positive
from secateur.edge.agent.signal.indicators import band_edges_hz, band_places, indicator_names
from secateur.signals.bearings.given import given_bearing
from secateur.signals.envelope import band_lines
from secateur.signals.kinematics import FaultOrders


class Bearing(Part):
    """A bearing by its name in the catalogue, by its dimensions, or by the multiples of the shaft rate.

    Attributes
    ----------
    designation : str or None
        Such as ``6205``.
    n_balls, ball_diameter_mm, pitch_diameter_mm, contact_angle_deg
        Dimensions.
    bpfo, bpfi, bsf2, ftf
        Multiples of the shaft rate; ``bsf2`` and ``ftf`` follow from the others where they are left out.
    """

    designation: str | None = None
    n_balls: int | None = None
    ball_diameter_mm: float | None = None
    pitch_diameter_mm: float | None = None
    contact_angle_deg: float | None = None
    bpfo: float | None = None
    bpfi: float | None = None
    bsf2: float | None = None
    ftf: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _designation_alone(cls, value: object) -> object:
        if isinstance(value, int):
            value = str(value)
        return {"designation": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> Bearing:
        try:
            self.orders()
        except SecateurError as error:
            raise ValueError(str(error)) from None
        return self

    def orders(self) -> FaultOrders:
        """Return the rates of its defects in multiples of the shaft rate."""
        given = {name: getattr(self, name) for name in ("bpfo", "bpfi", "bsf2", "ftf")}
        orders = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        bearing = given_bearing(
            name=self.designation,
            n_balls=self.n_balls,
            ball_diameter_mm=self.ball_diameter_mm,
            pitch_diameter_mm=self.pitch_diameter_mm,
            contact_angle_deg=self.contact_angle_deg,
            orders=orders or None,
        )
        if bearing is None:
            raise ValueError(
                "give a designation; or n_balls, ball_diameter_mm and pitch_diameter_mm; or bpfo and bpfi"
            )
        return bearing.orders


class Speed(Part):
    """Where the shaft speed comes from.

    Attributes
    ----------
    rpm : float or None
        A speed that never changes; without it the speed comes with the bursts or from a feed.
    max_age_s : float
        A speed that is further than this from the burst is stale and is not used.
    lowest_rpm, highest_rpm : float
        Below the lowest a machine counts as standing still; a speed above the highest is not believed.
    steady_within : float or None
        Share by which the speed may differ from that of the burst before; beyond, the machine runs up or
        coasts down, and the burst is neither learned nor judged.
    """

    rpm: Positive | None = None
    max_age_s: Positive = 60.0
    lowest_rpm: Annotated[float, Field(ge=0)] = 0.0
    highest_rpm: Positive = 100_000.0
    steady_within: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _believed(self) -> Speed:
        if not self.lowest_rpm < self.highest_rpm:
            raise ValueError("lowest_rpm must be lower than highest_rpm")
        if self.rpm is not None and not self.lowest_rpm <= self.rpm <= self.highest_rpm:
            raise ValueError(f"rpm {self.rpm:g} lies outside lowest_rpm to highest_rpm; no speed is believed")
        return self


class Level(Part):
    """Two levels of one indicator, in its own unit."""

    warning: float
    alarm: float

    @model_validator(mode="after")
    def _ordered(self) -> Level:
        if not self.warning < self.alarm:
            raise ValueError(f"warning {self.warning} must be lower than alarm {self.alarm}")
        return self


class Limits(Part):
    """When an indicator is too high.

    A score is the distance from the baseline's median in robust standard deviations of that baseline.

    Attributes
    ----------
    warning_score, alarm_score : float
        Scores from which an indicator counts as raised.
    least_ratio : float
        A level indicator must also be this many times its median, so that a very quiet baseline does not
        alarm.
    raise_after, raise_window : int
        So many of the last bursts must be raised.
    clear_after : int
        So many bursts in a row must lie below ``hysteresis`` times the score before a level is left.
    hysteresis : float
        From 0 to 1.
    reopen_within_s : float
        A level that comes back so soon after it went continues the same alarm.
    absolute : dict
        Levels by indicator that hold without a baseline.
    rise_per_hour : dict
        Largest rise of an indicator in an hour, over its baseline median, by indicator.
    """

    warning_score: Positive = 6.0
    alarm_score: Positive = 10.0
    least_ratio: Annotated[float, Field(ge=1)] = 1.5
    raise_after: Annotated[int, Field(ge=1)] = 2
    raise_window: Annotated[int, Field(ge=1, le=1024)] = 3
    clear_after: Annotated[int, Field(ge=1)] = 20
    hysteresis: Annotated[float, Field(gt=0, le=1)] = 0.7
    reopen_within_s: Annotated[float, Field(ge=0)] = 3600.0
    absolute: dict[str, Level] = Field(default_factory=dict)
    rise_per_hour: dict[str, Positive] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Limits:
        if not self.warning_score < self.alarm_score:
            raise ValueError("warning_score must be lower than alarm_score")
        if self.raise_after > self.raise_window:
            raise ValueError("raise_after must not exceed raise_window")
        return self


class Commissioning(Part):
    """How a machine's own baseline is learned.

    Attributes
    ----------
    bursts : int
        So many sound bursts in each operating band.
    speed_bands_rpm : tuple of float
        Edges between operating bands, rising; none: all speeds are one band.
    skip_bursts : int
        So many bursts after the start do not count, for instance while the machine warms up.
    """

    bursts: Annotated[int, Field(ge=8, le=1_000_000)] = 200
    speed_bands_rpm: tuple[Positive, ...] = ()
    skip_bursts: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _rising(self) -> Commissioning:
        if any(first >= second for first, second in pairwise(self.speed_bands_rpm)):
            raise ValueError("speed_bands_rpm must rise")
        return self


class Indicators(Part):
    """What is computed from each burst.

    Attributes
    ----------
    bands : int
        Bands of equal width on a logarithmic axis, from ``lowest_hz`` to the Nyquist rate.
    lowest_hz : float
        Lower edge of the first band.
    envelope_band_hz : (float, float) or None
        Band that is demodulated; default: the upper half of the spectrum.
    averaged_bursts : int
        Envelope spectra are averaged over so many bursts of one speed.
    """

    bands: Annotated[int, Field(ge=1, le=24)] = 6
    lowest_hz: Positive = 10.0
    envelope_band_hz: tuple[float, float] | None = None
    averaged_bursts: Annotated[int, Field(ge=1, le=100_000)] = 16


class Diagnosis(Part):
    """When a diagnosis by the model is given.

    Attributes
    ----------
    least_confidence : float
        Below it the answer is "cannot say".
    disagreement : float
        Confidence is multiplied by this where the fault lines say something else than the model.
    alarm_confidence : float
        A fault that is answered with at least this confidence raises the level like an indicator.
    """

    least_confidence: Annotated[float, Field(gt=0, lt=1)] = 0.7
    disagreement: Annotated[float, Field(gt=0, le=1)] = 0.5
    alarm_confidence: Annotated[float, Field(gt=0, le=1)] = 0.9


Unit = Literal["g", "m/s2", "mm/s", "V", "count"]


class Sensor(Part):
    """One measuring point.

    Attributes
    ----------
    name : str
    sampling_rate_hz : float
        A burst that states another rate is not used.
    burst_samples : int
        Samples of a burst; a shorter or longer one is not used.
    unit : str
        Of the samples.
    full_scale : float or None
        Largest reading of the sensor; readings there are clipped.
    bearing : Bearing or None
        Without it there are no fault lines.
    bundle : str or None
        Name of an installed bundle; without it there is no diagnosis by a model.
    silent_after_s : float
        The sensor is silent if nothing comes for so long.
    """

    name: PlantName
    sampling_rate_hz: Positive
    burst_samples: Annotated[int, Field(ge=64, le=1 << 22)]
    unit: Unit = "g"
    full_scale: Positive | None = None
    bearing: Bearing | None = None
    bundle: Name | None = None
    silent_after_s: Positive = 300.0
    indicators: Indicators = Indicators()
    limits: Limits = Limits()
    diagnosis: Diagnosis = Diagnosis()
    commissioning: Commissioning = Commissioning()

    @model_validator(mode="after")
    def _bands_fit(self) -> Sensor:
        nyquist = self.sampling_rate_hz / 2
        band = self.indicators.envelope_band_hz
        if self.indicators.lowest_hz >= nyquist:
            raise ValueError(f"indicators.lowest_hz must lie below {nyquist:g} Hz")
        if band is not None:
            try:
                band_lines(self.burst_samples, self.sampling_rate_hz, band)
            except ConfigError as error:
                raise ValueError(f"indicators.envelope_band_hz: {error}") from None
        edges = band_edges_hz(self.indicators.lowest_hz, self.sampling_rate_hz, self.indicators.bands)
        places = band_places(edges, self.burst_samples, self.sampling_rate_hz)
        if any(first >= second for first, second in pairwise(places)):
            step_hz = self.sampling_rate_hz / self.burst_samples
            raise ValueError(
                f"bursts of {self.burst_samples} samples resolve {step_hz:.3g} Hz, so a band is empty; raise "
                "indicators.lowest_hz, or lower indicators.bands"
            )
        return self

    @model_validator(mode="after")
    def _bursts_in_time(self) -> Sensor:
        duration_s = self.burst_samples / self.sampling_rate_hz
        if duration_s >= self.silent_after_s:
            raise ValueError(f"a burst lasts {duration_s:g} s; silent_after_s must be longer")
        return self

    @model_validator(mode="after")
    def _limits_of_indicators(self) -> Sensor:
        known = indicator_names(self.indicators.bands, lines=self.bearing is not None)
        for key in ("absolute", "rise_per_hour"):
            unknown = sorted(getattr(self.limits, key).keys() - set(known))
            if unknown:
                raise ValueError(
                    f"limits.{key} names {', '.join(unknown)}; this sensor has {', '.join(known)}"
                )
        return self


class Machine(Part):
    """A machine with one shaft speed and some sensors."""

    name: PlantName
    description: Annotated[str, Field(max_length=200)] = ""
    speed: Speed = Speed()
    sensors: Annotated[tuple[Sensor, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Machine:
        names = [sensor.name for sensor in self.sensors]
        if len(set(names)) < len(names):
            raise ValueError(f"two sensors of machine {self.name} have one name")
        return self

"""What the agent answers, as types from which the OpenAPI page is made; ``unix_s`` is seconds since 1970."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from secateur.edge.agent.sources.base import SourceStatus
from secateur.edge.agent.state.levels import LevelWord

Level = LevelWord
BearingState = Literal["normal", "warning", "alarm", "learning", "unknown"]
"""A level, or why "normal" would say too much: the baseline is not there yet, or no usable bursts come."""


class SensorBrief(TypedDict):
    """The state of a sensor in short."""

    sensor: str
    sensor_state: str
    level: Level
    bearing_state: BearingState
    causes: dict[str, str]
    learned: float
    baseline_trouble: str
    label: str | None
    confidence: float | None
    last_burst_age_s: float | None
    stale: bool


class Machine(TypedDict):
    """A machine with the worst level of its sensors."""

    machine: str
    description: str
    level: Level
    sensors: list[SensorBrief]


class Fleet(TypedDict):
    """All machines."""

    agent: str
    unix_s: float
    machines: list[Machine]


class Quality(TypedDict):
    """Whether a burst could be used, and what is wrong with it."""

    usable: bool
    flags: list[str]


class Speed(TypedDict):
    """The speed that a burst was judged at, and how old it was."""

    rpm: float | None
    age_s: float | None


class Bearing(TypedDict):
    """The level of a bearing and what raised it."""

    level: Level
    causes: dict[str, str]
    score: float | None
    band: str
    learned: float


class Diagnosis(TypedDict):
    """What a bundle says; ``label`` is null for "cannot say", and ``reason`` tells why."""

    label: str | None
    reason: str
    confidence: float
    probabilities: dict[str, float]
    agrees_with_lines: bool | None
    model: str
    version: str
    fit_for_use: bool | None
    latency_ms: float


class Result(TypedDict):
    """What became of a burst, as it is published; ``stated_unix_s`` is the time by the sender's clock."""

    schema: str
    machine: str
    sensor: str
    key: str
    number: int | None
    measured_unix_s: float
    stated_unix_s: float | None
    age_s: float
    quality: Quality
    sensor_state: str
    speed: Speed
    bearing: Bearing
    indicators: dict[str, float]
    scores: dict[str, float]
    diagnosis: Diagnosis | None
    evidence: dict[str, Any] | None
    latency_ms: float


class BaselineBand(TypedDict):
    """What is learned in one operating band."""

    learned: bool
    progress: float
    medians: dict[str, float]
    spreads: dict[str, float]


class BaselineSummary(TypedDict):
    """What is learned of a sensor."""

    bursts_needed: int
    trouble: str
    bands: dict[str, BaselineBand]


class ClassAt(TypedDict):
    """A class that was named; null: cannot say."""

    unix_s: float
    label: str | None


class Sensor(SensorBrief):
    """A sensor: settings, state, latest result, baseline."""

    machine: str
    settings: dict[str, Any]
    band_hz: list[float]
    fault_orders: dict[str, float] | None
    feed_speed_rpm: float | None
    baseline: BaselineSummary
    result: Result | None
    classes: list[ClassAt]
    seconds_in_state: dict[str, float]


class Waveform(TypedDict):
    """The latest burst, thinned to its highest and lowest points."""

    step_s: float
    samples: list[float | None]
    duration_s: float


class _WithLines(TypedDict):
    lines: dict[str, float] | None
    speed_rpm: float | None
    amplitude: list[float | None]


class Spectrum(_WithLines):
    """Amplitudes from 0 Hz on; lines in Hz."""

    step_hz: float


class Envelope(_WithLines):
    """Amplitudes from 0 on; step and lines in shaft orders or in Hz."""

    step: float
    in_orders: bool
    bursts: int
    band_hz: list[float] | None


class WaterfallRow(TypedDict):
    """One spectrum."""

    unix_s: float
    amplitude: list[float | None]


class Waterfall(TypedDict):
    """Spectra over time, oldest first."""

    highest_hz: float
    rows: list[WaterfallRow]


class TrendEntry(TypedDict):
    """Means of the indicators over some bursts."""

    start_unix_s: float
    bursts: int
    worst: int
    means: dict[str, float]


class Trend(TypedDict):
    """Indicators over time, oldest first, with what is usual and what raises a level."""

    tier: str
    entries: list[TrendEntry]
    medians: dict[str, float]
    limits: dict[str, dict[str, float]]


class Alarm(TypedDict):
    """An alarm from its opening to its end."""

    id: str
    machine: str
    sensor: str
    level: Level
    highest: Level
    open: bool
    causes: Any
    opened_unix_s: float
    changed_unix_s: float
    closed_unix_s: float | None
    acknowledged_unix_s: float | None
    acknowledged_by: str | None
    comment: str | None


class Alarms(TypedDict):
    """Alarms, the latest first."""

    alarms: list[Alarm]


class AlarmEvent(TypedDict):
    """Something that happened to an alarm."""

    unix_s: float
    kind: str
    level: Level
    author: str | None
    text: str


class AlarmWithEvents(Alarm):
    """An alarm with what happened to it."""

    events: list[AlarmEvent]


class Sink(TypedDict):
    """A sink and how much it has."""

    name: str
    available: bool
    trouble: str
    sent: int
    waiting: int


class Outbox(TypedDict):
    """How full the outbox is; ``hours_left`` is null if nothing came to send in the last ``rate_over_s``."""

    rows: int
    bytes: int
    most_bytes: int
    room_bytes: int
    share: float
    filling: bool
    bytes_per_s: float
    rate_over_s: float
    hours_left: float | None
    drop_policy: Literal["oldest", "newest"]
    dropped: dict[str, int]
    storage_trouble: str
    sinks: list[Sink]


class Latency(TypedDict):
    """From the last sample to the stored result."""

    p50: float | None
    p90: float | None
    p99: float | None


class Status(TypedDict):
    """The agent itself."""

    agent: str
    version: str
    started_unix_s: float
    running_s: float
    ready: bool
    config_trouble: str
    memory_bytes: int | None
    peak_memory_bytes: int | None
    latency_ms: Latency
    bursts: dict[str, int]
    database_repairs: int
    sources: list[SourceStatus]


class Version(TypedDict):
    """A loaded version of a bundle."""

    version: str
    fit_for_use: bool | None
    labels: list[str]
    window_s: float
    parameters: int
    format: str
    precision: str
    signature: str
    key_id: str | None
    golden_max_abs_diff: float


class Shadow(Version):
    """A version on trial beside the active one, and how often both say the same."""

    bursts: int
    bursts_needed: int
    agreement: float
    answered: float
    active_answered: float
    failures: int


class Model(TypedDict):
    """A bundle that sensors name."""

    name: str
    active: Version | None
    former: str | None
    versions: list[str]
    trouble: str
    rolled_back: list[str]
    shadow: Shadow | None


class UnusedModel(TypedDict):
    """A bundle that is installed and named by no sensor."""

    name: str
    versions: list[str]


class Models(TypedDict):
    """All bundles, and whether one can be installed over HTTP."""

    models: list[Model]
    unused: list[UnusedModel]
    installable: bool


class Installed(TypedDict):
    """A bundle that has just been installed."""

    name: str
    version: str
    state: Literal["active", "candidate", "installed"]


class Tested(TypedDict):
    """A version that was checked."""

    version: str
    passed: bool
    reason: str
    golden_max_abs_diff: float | None


class SelfTested(TypedDict):
    """Versions of a bundle that were checked."""

    name: str
    versions: list[Tested]


class Taken(TypedDict):
    """A burst whose result is stored."""

    key: str

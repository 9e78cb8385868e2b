"""Whether a bundle can say anything about the bursts of a sensor."""

from __future__ import annotations

from collections.abc import Iterator

from secateur.bundle.manifest import Manifest
from secateur.edge.agent.config.machines import Sensor
from secateur.edge.own_healthy import NORMAL
from secateur.edge.windows import least_duration_s
from secateur.signals.envelope_rule import FAMILY_OF

_QUANTITIES = {"g": "acceleration", "m/s2": "acceleration", "mm/s": "velocity"}
"""What each unit measures; a model normalises its windows, so units of one quantity are alike to it."""


def misfits(manifest: Manifest, sensor: Sensor) -> Iterator[str]:
    """Yield why every burst of a sensor would go without a diagnosis, or with a wrong one.

    Parameters
    ----------
    manifest : Manifest
    sensor : Sensor
    """
    rate_hz, rule = sensor.sampling_rate_hz, manifest.resampling
    if rate_hz != manifest.sampling_rate_hz and not (
        rule is not None and rule.allowed and rate_hz >= rule.lowest_hz
    ):
        least = f" or {rule.lowest_hz:g} Hz and more" if rule is not None and rule.allowed else ""
        yield f"it takes {manifest.sampling_rate_hz:g} Hz{least}, and the sensor has {rate_hz:g} Hz"
    burst_s, least_s = sensor.burst_samples / rate_hz, least_duration_s(manifest)
    if burst_s < least_s * (1 - 1e-9):
        yield f"it needs bursts of {least_s:.3f} s, and those of the sensor last {burst_s:.3f} s"
    if NORMAL not in manifest.labels:
        yield f"it has no class '{NORMAL}' but {', '.join(manifest.labels)}: every burst would be a fault"
    elif sensor.bearing is not None and not set(FAMILY_OF) & set(manifest.labels):
        yield (
            f"none of its classes ({', '.join(manifest.labels)}) is one that fault lines can confirm "
            f"({', '.join(FAMILY_OF)})"
        )
    unit = None if manifest.channel is None else manifest.channel.unit
    trained, given = _QUANTITIES.get(unit or ""), _QUANTITIES.get(sensor.unit)
    if trained is not None and given is not None and trained != given:
        yield f"it was trained on {trained} ({unit}), and the sensor gives {given} ({sensor.unit})"

"""Learn from a machine's own healthy recordings what is like them, with one bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.core.progress import track
from secateur.core.records import write_json
from secateur.edge.judgement import evidence_of
from secateur.edge.own_healthy import (
    NORMAL,
    HealthyRecording,
    is_own_healthy,
    learn_own_healthy,
)
from secateur.edge.runtime import Runtime
from secateur.signals.envelope_rule import FAMILY_OF, envelope_rule
from secateur.signals.no_machine import first_samples, why_no_machine
from secateur.signals.sources.quantities import plain_unit
from secateur.workflow.diagnosis_subjects import Subject


def commission(subjects: Sequence[Subject], runtime: Runtime, out: Path) -> dict[str, Any]:
    """Learn the limits of a machine's healthy state and write them to ``out``.

    Parameters
    ----------
    subjects : sequence of Subject
        Healthy recordings of one sensor, over the speeds and loads at which it runs.
    runtime : Runtime
    out : Path
        JSON file; a former one is replaced, anything else refused.

    Returns
    -------
    dict
        ``limits`` (what the file holds) and ``recordings``: name, windows, level, speed, checksum and
        ``doubt``, which says where fault lines stand out of a recording that is called healthy.

    Raises
    ------
    ConfigError
        If the bundle has no class "normal", or ``out`` is something else.
    DataError
        If one is described as damaged, they are of several channels, units or bearings, have too few usable
        windows, or look damaged to the model.
    """
    manifest = runtime.manifest
    if NORMAL not in manifest.labels:
        raise ConfigError(
            f"{manifest.name} has no class '{NORMAL}' but {', '.join(manifest.labels)}; it cannot learn what "
            "is healthy."
        )
    if out.exists() and not is_own_healthy(out):
        raise ConfigError(f"{out} holds something else than such limits; name another file with --out.")
    damaged = [s.recording for s in subjects if s.recording.fault_location not in (None, NORMAL)]
    if damaged:
        raise DataError(
            f"{len(damaged)} of {len(subjects)} recordings are described as damaged (first: "
            f"{damaged[0].recording_id}, {damaged[0].fault_location}); give healthy ones alone."
        )
    units = [subject.recording.unit for subject in subjects]
    for what, found in (
        ("channels", {subject.channel_name for subject in subjects}),
        ("units", {unit and plain_unit(unit) for unit in units}),
        ("bearings", {subject.fault_orders for subject in subjects}),
    ):
        if len(found) > 1:
            raise DataError(
                f"the healthy recordings are of several {what} ({'; '.join(sorted(map(str, found)))}) and "
                "cannot be compared. Give those of one sensor."
            )
    seen, rows = [], []
    for subject in track(subjects, "listening to healthy recordings", len(subjects)):
        recording = subject.recording
        try:
            healthy, doubt = _heard(subject, runtime)
        except DataError as error:
            raise DataError(f"{recording.recording_id}: {error}") from None
        seen.append(healthy)
        rows.append(
            {
                "recording": recording.recording_id,
                "windows": len(healthy.normal),
                "rms": healthy.level,
                "shaft_speed_rpm": subject.shaft_speed_rpm,
                "mean_normal": float(healthy.normal.mean()) if len(healthy.normal) else None,
                "doubt": doubt,
                "file_sha256": sha256_of(recording.path) if recording.path else None,
            }
        )
    limits = learn_own_healthy(
        seen,
        bundle=manifest.name,
        version=runtime.version,
        channel=subjects[0].channel_name,
        unit=subjects[0].recording.unit,
        fault_orders=subjects[0].fault_orders,
    )
    write_json(out, limits.model_dump(mode="json"))
    return {"limits": limits.model_dump(mode="json"), "recordings": rows}


def _heard(subject: Subject, runtime: Runtime) -> tuple[HealthyRecording, str]:
    """Return what the bundle makes of a recording, and why it may not be healthy."""
    shaft_hz = (subject.shaft_speed_rpm or 0.0) / 60.0
    recording, channel, orders = subject.recording, subject.channel, subject.fault_orders
    if lacks := why_no_machine(first_samples(recording.source, channel)):
        raise DataError(f"{lacks}. It is no example of a healthy machine; leave it out.")
    parts = list(
        runtime.stream(
            recording.source,
            sampling_rate_hz=recording.sampling_rate_hz,
            channel=channel,
            shaft_rate_hz=shaft_hz,
            fault_orders=orders,
        )
    )
    evidence, _ = evidence_of(
        recording.source,
        channel=channel,
        sampling_rate_hz=recording.sampling_rate_hz,
        shaft_rate_hz=shaft_hz,
        fault_orders=orders,
    )
    call = None if evidence is None else envelope_rule(evidence)
    doubt = ""
    if call is not None and call.label in FAMILY_OF:
        said = call.label.replace("_", " ")
        doubt = f"the fault lines say {said} ({call.reason}); make sure that it is healthy"
    return HealthyRecording.heard(parts, runtime.labels, shaft_rate_hz=shaft_hz), doubt

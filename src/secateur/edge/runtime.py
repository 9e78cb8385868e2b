"""The runtime: a bundle verified, loaded, tried on its golden windows, and then asked for diagnoses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.bundle.session import open_session
from secateur.bundle.signature import SignatureCheck
from secateur.bundle.verify import golden_difference
from secateur.core.errors import DataError
from secateur.edge.inputs import real_samples, require_hop, require_running, require_sampling_rate
from secateur.edge.judgement import Judgement, calibrated, evidence_of, judge
from secateur.edge.opening import checked_bundle
from secateur.edge.own_healthy import read_own_healthy
from secateur.edge.speed_by_lines import speed_by_lines
from secateur.edge.window_diagnoses import WindowDiagnoses, root_mean_square
from secateur.edge.windows import (
    REASONS,
    Usability,
    cut_windows,
    least_duration_s,
    source_at_model_rate,
    usability_of,
)
from secateur.signals.kinematics import FaultOrders
from secateur.signals.no_machine import first_samples, why_no_machine
from secateur.signals.recording import ArraySource, WaveformSource

BATCH_WINDOWS = 16


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the model says about one burst.

    Attributes
    ----------
    label : str
        The class of highest probability.
    probabilities : dict of str to float
        Mean over the burst's windows.
    windows : int
        Windows that the burst was cut into.
    latency_ms : float
        From the waveform to the probabilities, resampling and windowing included.
    model : str
        Name of the bundle.
    version : str
        First 12 digits of the SHA-256 of its manifest, which holds the hash of every other file.
    judgement : Judgement
        The class, or why none can be said, with the physical evidence.
    shaft_rate_hz : float
        Turns a second that the burst was diagnosed by; 0 if unknown.
    fit_for_use : bool or None
        Verdict of the run that made the model; None if it gave none.
    """

    label: str
    probabilities: dict[str, float]
    windows: int
    latency_ms: float
    model: str
    version: str
    judgement: Judgement
    shaft_rate_hz: float
    fit_for_use: bool | None = None


class Runtime:
    """A bundle that is safe to use: nothing is loaded before its files are what the manifest says.

    Parameters
    ----------
    bundle : Path
        Folder or ``.sct`` archive.
    trusted : sequence of Path
        PEM files of public keys; if any is given, the bundle must be signed by one of them.
    threads : int
        Threads of one operator. One is the fastest choice beside other work on a small device.
    own_healthy : Path, optional
        What ``secateur commission --healthy`` learned with this bundle of the machine to be diagnosed.

    Attributes
    ----------
    manifest : Manifest
    signature : SignatureCheck
    version : str
        First 12 digits of the manifest's SHA-256.
    golden_max_abs_diff : float
        Largest difference of logits on the golden windows, on this machine.

    Raises
    ------
    ConfigError
        If the bundle holds no Diagnoser, another one learned ``own_healthy``, or there is no thread.
    CheckpointError
        If the bundle is altered, cut short, of a newer schema, or not signed as required, or ``own_healthy``
        holds something else.
    ExportError
        If its runtime cannot load it or does not reproduce the golden windows.
    """

    manifest: Manifest
    signature: SignatureCheck

    def __init__(
        self,
        bundle: str | Path,
        *,
        trusted: Sequence[Path] = (),
        threads: int = 1,
        own_healthy: Path | None = None,
    ) -> None:
        checked, self.manifest = checked_bundle(
            bundle, Manifest, others_fail="diagnoses nothing", trusted=trusted, threads=threads
        )
        self.signature, self.version = checked.signature, checked.version
        self.own_healthy = (
            None
            if own_healthy is None
            else read_own_healthy(own_healthy, bundle=self.manifest.name, version=self.version)
        )
        self._session = open_session(checked.source, self.manifest, threads=threads)
        self.golden_max_abs_diff = golden_difference(checked, self._session)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.manifest.labels

    @property
    def window_s(self) -> float:
        """Length of a window in seconds."""
        return self.manifest.window_length / self.manifest.sampling_rate_hz

    @property
    def least_s(self) -> float:
        """Seconds that a waveform must last at least; up to a window, its end is mirrored."""
        return least_duration_s(self.manifest)

    def predict(
        self, windows: np.ndarray, *, shaft_rate_hz: float = 0.0, fault_orders: FaultOrders | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Run the model on windows that have its length and rate.

        Parameters
        ----------
        windows : ndarray of float32, shape (n, window_length)
        shaft_rate_hz : float
            Turns a second, not a minute; 0 if unknown.
        fault_orders : FaultOrders, optional
            Of the bearing; None if unknown.

        Returns
        -------
        logits, probabilities : ndarray of float32, shape (n, classes)
            All finite.

        Raises
        ------
        DataError
            If the windows have another length, one of them is not usable (the message says which and why),
            the model gives no finite numbers, or speed or orders are out of range.
        """
        windows, length = real_samples(windows), self.manifest.window_length
        if windows.ndim != 2 or windows.shape[1] != length:
            raise DataError(f"windows of shape {windows.shape} were given; the model takes (n, {length}).")
        require_running(shaft_rate_hz, fault_orders, self.manifest.sampling_rate_hz)
        _require_usable(usability_of(windows))
        found = self._run(windows, shaft_rate_hz, fault_orders)
        _require_usable(tuple("usable" if sound else "output not finite" for sound in _finite(*found)))
        return found

    def _run(
        self, windows: np.ndarray, shaft_rate_hz: float, fault_orders: FaultOrders | None
    ) -> tuple[np.ndarray, np.ndarray]:
        count = len(windows)
        if not count:
            none = np.zeros((0, len(self.labels)), dtype=np.float32)
            return none, none.copy()
        orders = np.zeros(4, dtype=np.float32) if fault_orders is None else fault_orders.as_array()
        return self._session.run(
            {
                "waveform": windows,
                "shaft_rate_hz": np.full(count, shaft_rate_hz, dtype=np.float32),
                "fault_orders": np.tile(orders, (count, 1)),
            }
        )

    def stream(
        self,
        source: WaveformSource,
        *,
        sampling_rate_hz: float,
        channel: int = 0,
        shaft_rate_hz: float = 0.0,
        fault_orders: FaultOrders | None = None,
        hop_s: float | None = None,
    ) -> Iterator[WindowDiagnoses]:
        """Diagnose a waveform of any length window by window, in memory that does not depend on its length.

        Parameters
        ----------
        source : WaveformSource
            Read piece by piece.
        sampling_rate_hz : float
            Its rate; resampled if the manifest allows it.
        channel : int
            Number of the channel.
        shaft_rate_hz, fault_orders
            As for :meth:`predict`.
        hop_s : float, optional
            Seconds from one window's start to the next; default: windows side by side.

        Yields
        ------
        WindowDiagnoses
            Some windows at a time. A window that a sound sensor does not give, or for which the model gives
            no finite numbers, is passed over and marked.

        Raises
        ------
        DataError
            If the rate is not allowed, the channel is not there, the waveform is much shorter than a window,
            or speed or orders are out of range.
        ConfigError
            If the hop is no time of at least one sample.
        """
        rate, length = self.manifest.sampling_rate_hz, self.manifest.window_length
        require_sampling_rate(sampling_rate_hz)
        require_running(shaft_rate_hz, fault_orders, rate)
        require_hop(hop_s, rate)
        series = source_at_model_rate(source, sampling_rate_hz, self.manifest)
        hop = length if hop_s is None else round(hop_s * rate)
        for starts, windows, usability in cut_windows(
            series, rate_hz=rate, length=length, hop=hop, channel=channel, batch=BATCH_WINDOWS
        ):
            rows = np.flatnonzero([entry == "usable" for entry in usability])
            logits, found = self._run(windows[rows], shaft_rate_hz, fault_orders)
            sound = _finite(logits, found)
            probabilities = np.full((len(windows), len(self.labels)), np.nan, dtype=np.float32)
            energies, rms = np.full((2, len(windows)), np.nan)
            rms[rows] = windows[rows].std(axis=1, dtype=np.float64)
            probabilities[rows[sound]], energies[rows[sound]] = calibrated(
                logits[sound], self.manifest.abstention
            )
            told = list(usability)
            for row in rows[~sound]:
                told[row] = "output not finite"
            yield WindowDiagnoses(
                starts_s=starts / rate,
                probabilities=probabilities,
                usability=tuple(told),
                labels=tuple(
                    self.labels[int(row.argmax())] if entry == "usable" else None
                    for row, entry in zip(probabilities, told, strict=True)
                ),
                energies=energies,
                rms=rms,
            )

    def judge(
        self,
        source: WaveformSource,
        probabilities: np.ndarray,
        energy: float,
        *,
        sampling_rate_hz: float,
        channel: int = 0,
        shaft_rate_hz: float = 0.0,
        fault_orders: FaultOrders | None = None,
        doubts: tuple[str, ...] = (),
        rms: float = 0.0,
    ) -> Judgement:
        """Weigh the model's answer to a recording against its physical evidence.

        Parameters
        ----------
        source : WaveformSource
        probabilities : ndarray, shape (classes,)
            Mean over its usable windows.
        energy : float
            Median over them.
        sampling_rate_hz, channel, shaft_rate_hz, fault_orders
            As for :meth:`stream`.
        doubts : tuple of str
            Further reasons to say nothing.
        rms : float
            Level over its usable windows, for the limits of the machine's own healthy recordings.
        """
        evidence, missing = evidence_of(
            source,
            channel=channel,
            sampling_rate_hz=sampling_rate_hz,
            shaft_rate_hz=shaft_rate_hz,
            fault_orders=fault_orders,
        )
        return judge(
            probabilities,
            energy,
            self.manifest,
            evidence=evidence,
            no_evidence=missing,
            no_machine=why_no_machine(first_samples(source, channel)),
            doubts=doubts,
            own_healthy=self.own_healthy,
            rms=rms,
            shaft_rate_hz=shaft_rate_hz,
        )

    def diagnose(
        self,
        waveform: np.ndarray,
        *,
        sampling_rate_hz: float,
        shaft_rate_hz: float = 0.0,
        fault_orders: FaultOrders | None = None,
    ) -> Diagnosis:
        """Diagnose one burst: the mean of its windows' probabilities.

        Parameters
        ----------
        waveform : ndarray, shape (samples,)
            Windows lie side by side, and what remains at the end is left out. Of one that is a little too
            short for a window, the end is mirrored; see :mod:`secateur.signals.short_windows`.
        sampling_rate_hz, shaft_rate_hz, fault_orders
            As for :meth:`stream`. A stated speed is held against the shaft's own lines: see
            :func:`secateur.edge.speed_by_lines.speed_by_lines`.

        Raises
        ------
        DataError
            As :meth:`stream`, or if any window of the burst is not usable, or speed and bearing are stated
            otherwise than for the machine's own healthy recordings.
        """
        started = time.perf_counter()
        if np.ndim(waveform) != 1:
            raise DataError(
                f"a waveform of shape {np.shape(waveform)} was given; give one channel, (samples,)."
            )
        source = ArraySource(real_samples(waveform)[None])
        require_sampling_rate(sampling_rate_hz)
        require_running(shaft_rate_hz, fault_orders, self.manifest.sampling_rate_hz)
        if self.own_healthy is not None:
            self.own_healthy.require_comparable(shaft_rate_hz=shaft_rate_hz, fault_orders=fault_orders)
        speed = speed_by_lines(
            source, channel=0, sampling_rate_hz=sampling_rate_hz, shaft_rate_hz=shaft_rate_hz
        )
        parts = list(
            self.stream(
                source,
                sampling_rate_hz=sampling_rate_hz,
                shaft_rate_hz=speed.shaft_rate_hz,
                fault_orders=fault_orders,
            )
        )
        for part in parts:
            for start, usability in zip(part.starts_s, part.usability, strict=True):
                if usability != "usable":
                    raise DataError(
                        f"the waveform is {usability} in the window from {start:.3f} s: "
                        f"{REASONS[usability]}. Check the sensor, or use 'stream', which passes such windows "
                        "over."
                    )
        mean = np.concatenate([part.probabilities for part in parts]).mean(axis=0, dtype=np.float64)
        energy = float(np.median(np.concatenate([part.energies for part in parts])))
        judgement = self.judge(
            source,
            mean,
            energy,
            sampling_rate_hz=sampling_rate_hz,
            shaft_rate_hz=speed.shaft_rate_hz,
            fault_orders=fault_orders,
            doubts=speed.doubts,
            rms=root_mean_square(np.concatenate([part.rms for part in parts])),
        )
        verdict = self.manifest.verdict
        return Diagnosis(
            judgement=judgement,
            shaft_rate_hz=speed.shaft_rate_hz,
            fit_for_use=None if verdict is None else verdict.fit_for_use,
            label=self.labels[int(mean.argmax())],
            probabilities=dict(zip(self.labels, mean.tolist(), strict=True)),
            windows=sum(len(part.starts_s) for part in parts),
            latency_ms=1e3 * (time.perf_counter() - started),
            model=self.manifest.name,
            version=self.version,
        )


def _require_usable(usability: tuple[Usability, ...]) -> None:
    for number, entry in enumerate(usability):
        if entry != "usable":
            raise DataError(f"window {number} is not usable, {entry}: {REASONS[entry]}.")


def _finite(logits: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether all outputs of each window are finite, bool of shape (n,)."""
    return np.isfinite(logits).all(axis=1) & np.isfinite(probabilities).all(axis=1)

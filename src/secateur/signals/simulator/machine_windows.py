"""Windows of random machines, each of another machine, in blocks that depend on the seed alone."""

from __future__ import annotations

import numpy as np

from secateur.core.seeds import generator
from secateur.signals.simulator.machine_noises import (
    background,
    foreign_knocks,
    knock_train,
    machine_tones,
    placed,
    sometimes,
    unit,
)
from secateur.signals.simulator.machines import LABELS, Machines, draw_machines, draw_structures
from secateur.signals.simulator.sensors import through_sensor
from secateur.signals.simulator.strangers import stranger_waveforms
from secateur.signals.windows import normalise

BLOCK = 64
"""Windows that are drawn together."""

UNKNOWN = -1
"""Label of a signal that comes from no bearing."""

WANDERING = 0.7
"""Share of damaged balls that turn about changing axes, so that no line shows their knocks."""


def machine_windows(
    seed: int, block: int, *, length: int, sampling_rate_hz: float, strangers: float = 0.12
) -> dict[str, np.ndarray]:
    """Return one block of windows, each of a machine of its own.

    Parameters
    ----------
    seed : int
    block : int
        Blocks of one seed are independent of each other and always the same.
    length : int
        Samples a window; at least 4096.
    sampling_rate_hz : float
    strangers : float
        Share of signals that come from no bearing.

    Returns
    -------
    dict
        ``waveform`` float32 (64, length) of zero mean and unit RMS, ``shaft_rate_hz`` float32 (64,),
        ``fault_orders`` float32 (64, 4), ``label`` int64 (64,): an index into
        :data:`~secateur.signals.simulator.machines.LABELS`, or -1.
    """
    rng = generator(seed, "random machines", block)
    machines = draw_machines(rng, BLOCK)
    waveform = machine_waveforms(rng, machines, length, sampling_rate_hz)
    strange = rng.random(BLOCK) < strangers
    waveform[strange] = stranger_waveforms(rng, int(strange.sum()), length, sampling_rate_hz)
    return {
        "waveform": normalise(through_sensor(rng, unit(waveform), sampling_rate_hz)),
        "shaft_rate_hz": machines.told_shaft_hz.astype(np.float32),
        "fault_orders": machines.told_orders.astype(np.float32),
        "label": np.where(strange, UNKNOWN, machines.label).astype(np.int64),
    }


def machine_waveforms(
    rng: np.random.Generator, machines: Machines, length: int, sampling_rate_hz: float
) -> np.ndarray:
    """Return the vibration of machines as it reaches a sensor, float32 (n, length)."""
    count = len(machines)
    time_s = np.arange(length) / sampling_rate_hz
    frequency_hz = np.fft.rfftfreq(length, 1.0 / sampling_rate_hz)
    waveform = background(rng, machines.shaft_hz, time_s, frequency_hz)
    waveform += machine_tones(rng, machines.shaft_hz, time_s, frequency_hz[-1])
    foreign = foreign_knocks(rng, machines.shaft_hz, machines.true_orders, length, sampling_rate_hz)
    level = sometimes(rng, count, 1.0, -15.0, 0.0)
    _add_rung(rng, waveform, foreign, level, frequency_hz)
    defect = defect_force(rng, machines, length, sampling_rate_hz)
    rest = np.sqrt(np.mean(np.square(waveform), axis=1))
    level = np.where(machines.label > 0, rest * 10.0 ** (machines.fault_db / 20.0), 0.0)
    _add_rung(rng, waveform, defect * (level > 0)[:, None], level[:, None], frequency_hz)
    return waveform.astype(np.float32)


def _add_rung(
    rng: np.random.Generator,
    waveform: np.ndarray,
    force: np.ndarray,
    level: np.ndarray,
    frequency_hz: np.ndarray,
) -> None:
    """Add forces after a structure of their own, scaled to a level; ``waveform`` is changed."""
    rows = np.flatnonzero(force.any(axis=1))
    path = draw_structures(rng, len(rows), frequency_hz)
    rung = np.fft.irfft(np.fft.rfft(force[rows]) * path, waveform.shape[1])
    waveform[rows] += unit(rung) * level[rows]


def defect_force(
    rng: np.random.Generator, machines: Machines, length: int, sampling_rate_hz: float
) -> np.ndarray:
    """Return the knocks of every machine's defect on its structure, float32 (n, length).

    A defect on the outer race knocks in the load zone always, one on the inner race once a turn, one on a
    ball with the cage. Entry and exit of a defect knock apart; a worn one knocks several times. Most balls
    turn about changing axes: of the damaged ones of Case Western few show their lines (Smith and Randall,
    Mechanical Systems and Signal Processing 64-65, 2015).
    """
    count = len(machines)
    orders = machines.true_orders
    column = np.choose(machines.label, [0, 1, 0, 2])
    rate_hz = orders[np.arange(count), column] * machines.shaft_hz
    is_ball = machines.label == LABELS.index("ball")
    wanders = is_ball & (rng.random(count) < WANDERING)
    slip = np.exp(rng.uniform(np.log(5e-4), np.log(2e-2), count))
    slip = np.where(wanders, np.exp(rng.uniform(np.log(0.02), np.log(0.7), count)), slip)
    times, strengths = knock_train(rng, rate_hz, slip, length, sampling_rate_hz)
    strengths = np.where(wanders[:, None], strengths * _wandering(rng, times.shape), strengths)
    seconds = times / sampling_rate_hz
    # how the load changes over a turn of what carries the defect
    carrier_hz = np.choose(machines.label, [1.0, 1.0, 1.0, orders[:, 3]]) * machines.shaft_hz
    angle = 2.0 * np.pi * (carrier_hz[:, None] * seconds + rng.random((count, 1)))
    extent = rng.uniform(0.3, 0.8, (count, 1))
    inside = np.maximum(1.0 - (1.0 - np.cos(angle)) / (2.0 * extent), 0.0) ** 1.5
    floor = rng.uniform(0.0, 0.8, (count, 1))
    rotating = floor + (1.0 - floor) * inside
    load = np.where((machines.label == LABELS.index("outer_race"))[:, None], 1.0, rotating)
    turn = 2.0 * np.pi * (machines.shaft_hz[:, None] * seconds + rng.random((count, 1)))
    unbalance = sometimes(rng, count, 0.8, -15.0, 2.0) * np.cos(turn)
    unbalance += sometimes(rng, count, 0.4, -20.0, -3.0) * np.cos(2.0 * turn + 1.0)
    load = load * np.maximum(1.0 + unbalance, 0.05)
    # a ball strikes both races in turn, and shows its damage only while it rolls over it
    alternate = 1.0 - rng.uniform(0.0, 0.8, (count, 1)) * (np.arange(times.shape[1]) % 2)
    strengths = strengths * load * np.where(is_ball[:, None], alternate, 1.0)
    entry = rng.uniform(0.0, 0.8, (count, 1))
    crossing = rng.uniform(1e-4, 2.5e-3, (count, 1)) * sampling_rate_hz
    force = placed(times, strengths, length) - placed(times - crossing, entry * strengths, length)
    worn = rng.random((count, 1)) < 0.35
    for _ in range(2):
        scatter = times + rng.uniform(0.0, 1.5e-3, times.shape) * sampling_rate_hz
        sign = np.where(rng.random(times.shape) < 0.5, -1.0, 1.0)
        force += placed(scatter, np.where(worn, 0.8 * sign * strengths, 0.0), length)
    return force


def _wandering(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return how hard the damage of a ball that turns to other sides strikes; some hide at times."""
    machines = (shape[0], 1)
    scatter = np.exp(rng.uniform(0.2, 1.2, machines) * rng.standard_normal(shape))
    turns = rng.random(shape) < rng.uniform(0.03, 0.4, machines)
    shown = np.maximum(np.cumsum(turns, axis=1) % 2, rng.uniform(0.0, 0.3, machines))
    return scatter * np.where(rng.random(machines) < 0.5, shown, 1.0)

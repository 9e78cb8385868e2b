"""Random machines as recordings of one window each, split so that no machine stands on two sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import Recording
from secateur.signals.segment import Segment
from secateur.signals.simulator.machine_windows import BLOCK, machine_windows
from secateur.signals.simulator.machines import LABELS
from secateur.signals.splits import Split

DATASET = "machines"
"""Name under which random machines are asked for in the place of a folder of recordings."""

PROTOCOL = "specimen"
TRAIN_BLOCKS, VALIDATION_BLOCKS, TEST_BLOCKS = 24, 40, 20


@lru_cache(maxsize=TRAIN_BLOCKS + VALIDATION_BLOCKS + TEST_BLOCKS)
def _block(seed: int, block: int, length: int, rate_hz: float) -> dict[str, np.ndarray]:
    return machine_windows(seed, block, length=length, sampling_rate_hz=rate_hz, strangers=0.0)


@dataclass(frozen=True, kw_only=True)
class MachineSource:
    """The waveform of one random machine, simulated when it is read.

    Parameters
    ----------
    seed, block, row : int
        Which machine.
    n_samples : int
    sampling_rate_hz : float
    """

    seed: int
    block: int
    row: int
    n_samples: int
    sampling_rate_hz: float

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return 1

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (1, stop - start)."""
        block = _block(self.seed, self.block, self.n_samples, self.sampling_rate_hz)
        return block["waveform"][self.row : self.row + 1, start:stop]


def machine_split(seed: int, *, length: int, sampling_rate_hz: float) -> Split:
    """Return random machines for training, validation and test; 64 machines a block.

    Parameters
    ----------
    seed : int
    length : int
        Samples of each recording, which is one window.
    sampling_rate_hz : float
    """
    sides, first = [], 0
    for n_blocks in (TRAIN_BLOCKS, VALIDATION_BLOCKS, TEST_BLOCKS):
        blocks = range(first, first + n_blocks)
        sides.append(
            tuple(
                Segment.whole(recording, LABELS.index(recording.fault_location or "normal"))
                for block in blocks
                for recording in _recordings(seed, block, length, sampling_rate_hz)
            )
        )
        first += n_blocks
    train, validation, test = sides
    return Split(
        protocol=PROTOCOL,
        leaks=False,
        leak_reason="",
        caveat="simulated machines, each of its own kind",
        classes=LABELS,
        train=train,
        validation=validation,
        test=test,
    )


def _recordings(seed: int, block: int, length: int, sampling_rate_hz: float) -> list[Recording]:
    drawn = _block(seed, block, length, sampling_rate_hz)
    return [
        Recording(
            recording_id=f"machine_{seed}_{block:05d}_{row:02d}",
            source=MachineSource(
                seed=seed, block=block, row=row, n_samples=length, sampling_rate_hz=sampling_rate_hz
            ),
            channels=("acceleration",),
            sampling_rate_hz=sampling_rate_hz,
            group_id=f"machine_{seed}_{block:05d}_{row:02d}",
            dataset=DATASET,
            fault_location=LABELS[drawn["label"][row]],  # type: ignore[arg-type]
            shaft_speed_rpm=60.0 * float(drawn["shaft_rate_hz"][row]) or None,
            fault_orders=_orders(drawn["fault_orders"][row]),
        )
        for row in range(BLOCK)
    ]


def _orders(told: np.ndarray) -> FaultOrders | None:
    if not told.all():
        return None
    bpfo, bpfi, bsf2, ftf = (float(order) for order in told)
    return FaultOrders(bpfo=bpfo, bpfi=bpfi, bsf2=bsf2, ftf=ftf)

"""A stretch of one recording with the label that it carries in a task."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.core.errors import DataError
from secateur.signals.recording import Recording

UNLABELLED = -1


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Samples ``start`` to ``stop`` of a recording.

    Parameters
    ----------
    recording : Recording
        Where the samples are.
    label : int
        Index of the class, or -1 if it is unlabelled.
    start, stop : int
        Bounds in samples at the recording's own rate; ``stop`` is excluded.
    """

    recording: Recording
    label: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= self.recording.n_samples:
            raise DataError(
                f"recording {self.recording.recording_id}: segment from sample {self.start} to {self.stop}; "
                f"it must lie within 0 to {self.recording.n_samples} and hold at least one sample."
            )

    @property
    def group_id(self) -> str:
        """The physical specimen that the samples were taken from."""
        return self.recording.group_id

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return (self.stop - self.start) / self.recording.sampling_rate_hz

    @property
    def is_whole(self) -> bool:
        """Whether it covers all of its recording."""
        return self.start == 0 and self.stop == self.recording.n_samples

    @classmethod
    def whole(cls, recording: Recording, label: int) -> Segment:
        """Return the segment that covers all of a recording."""
        return cls(recording=recording, label=label, start=0, stop=recording.n_samples)

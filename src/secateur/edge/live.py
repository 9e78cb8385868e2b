"""A waveform that arrives piece by piece, cut into windows of one length as soon as each is whole."""

from __future__ import annotations

import numpy as np

from secateur.core.errors import ConfigError, DataError


class LiveSource:
    """Windows of a waveform whose length nobody knows yet.

    No window reaches over a seam: where samples are missing, what had gathered is given up and counted.

    Parameters
    ----------
    length : int
        Samples of a window.
    hop : int, optional
        Samples from one window's start to the next; default: windows side by side.

    Attributes
    ----------
    gaps : int
        Seams so far.
    samples_given_up : int
        Samples that belonged to no whole window because of a seam.
    """

    def __init__(self, *, length: int, hop: int | None = None) -> None:
        self.length = length
        self.hop = length if hop is None else hop
        if self.length < 1 or self.hop < 1:
            raise ConfigError(f"windows of {length} samples every {hop}; both must be at least 1.")
        self.gaps = 0
        self.samples_given_up = 0
        self._kept = np.empty(0, dtype=np.float32)
        self._first = 0
        self._next_window = 0

    @property
    def position(self) -> int:
        """Number of the sample that is expected next."""
        return self._first + len(self._kept)

    def push(self, samples: np.ndarray, *, position: int | None = None) -> list[tuple[int, np.ndarray]]:
        """Take the next samples and return the windows that they complete.

        Parameters
        ----------
        samples : ndarray, shape (n,)
        position : int, optional
            Number of the first of them, where the sender counts; a number other than the expected one is
            a seam. Default: they follow the last ones.

        Returns
        -------
        list of (int, ndarray of float32, shape (length,))
            Number of a window's first sample, and its samples.

        Raises
        ------
        DataError
            If the samples are not one channel.
        """
        piece = np.asarray(samples, dtype=np.float32)
        if piece.ndim != 1:
            raise DataError(f"samples of shape {piece.shape} were pushed; push one channel, (samples,).")
        if position is not None and position != self.position:
            self._start_anew(position)
        self._kept = np.concatenate([self._kept, piece])
        found = []
        while self._next_window + self.length <= self.position:
            first = self._next_window - self._first
            found.append((self._next_window, self._kept[first : first + self.length].copy()))
            self._next_window += self.hop
        passed = min(self._next_window, self.position) - self._first
        self._kept, self._first = self._kept[passed:], self._first + passed
        return found

    def _start_anew(self, position: int) -> None:
        if self.position:
            self.gaps += 1
        self.samples_given_up += len(self._kept)
        self._kept = np.empty(0, dtype=np.float32)
        self._first = self._next_window = position

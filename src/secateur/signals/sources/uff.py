"""Universal files (UFF, data set 58), as modal and vibration analysers write; needs the extra ``formats``."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.channelwise import ChannelwiseSource
from secateur.signals.sources.choice import Column
from secateur.signals.sources.extras import required

LARGEST_BYTES = 1 << 30
_TIME_RESPONSE = 1


@dataclass(frozen=True)
class UffSource(ChannelwiseSource):
    """Time responses of a universal file, named by node and direction (``1 x+``); spectra are passed over."""

    @cached_property
    def _responses(self) -> tuple[dict[str, Any], ...]:
        uff = required("pyuff", f"{self.path} is a universal file (UFF)")
        require_regular_file(self.path)
        if self.path.stat().st_size > LARGEST_BYTES:
            raise DataError(f"{self.path} is larger than 1 GiB; store it as WAV, NPY or Parquet.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on sets of other kinds, which are passed over
                file = uff.UFF(str(self.path))
                numbers = [n for n, kind in enumerate(file.get_set_types()) if int(kind) == 58]
                sets = [file.read_sets(n) for n in numbers]
        except Exception as error:  # the package answers damaged files with many kinds of error
            raise DataError(
                f"{self.path} is not a whole universal file ({one_line(error)}); copy it again."
            ) from None
        responses = tuple(entry for entry in sets if entry.get("func_type") == _TIME_RESPONSE)
        if not responses:
            raise DataError(f"{self.path} holds no time response (data set 58, function type 1).")
        return responses

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every time response of the file."""
        return tuple(
            Column(name=_name(entry, number), n_samples=len(entry["data"]))
            for number, entry in enumerate(self._responses)
        )

    @cached_property
    def sampling_rate_hz(self) -> float | None:
        """The rate that the spacing of the abscissa states, if all responses state the same."""
        steps = {float(entry.get("abscissa_inc") or 0.0) for entry in self._responses}
        step = steps.pop() if len(steps) == 1 else 0.0
        return 1.0 / step if step > 0 else None

    @property
    def unit(self) -> str | None:
        """Unit of the first response, as the file labels it."""
        return str(self._responses[0].get("ordinate_axis_units_lab", "")).strip() or None

    def _values(self, number: int, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._responses[number]["data"][start:stop])


def _name(entry: dict[str, Any], number: int) -> str:
    """Node and direction as analysers write them: 1 is x+, -1 is x-."""
    node, direction = entry.get("rsp_node"), entry.get("rsp_dir")
    if node is None or not direction or abs(int(direction)) > 3:
        return str(number)
    return f"{node} {'xyz'[abs(int(direction)) - 1]}{'+' if direction > 0 else '-'}"

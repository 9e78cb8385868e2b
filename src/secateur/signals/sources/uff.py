"""Universal files (UFF, data set 58), as modal and vibration analysers write; needs the extra ``formats``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import one_line
from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column
from secateur.signals.sources.extras import required
from secateur.signals.sources.quantities import UNITS, seconds_in
from secateur.signals.sources.time_axis import TimeAxis, read_time_axis
from secateur.signals.sources.whole_file import Decoded, WholeFileSource, require_decodable

_TIME_RESPONSE = 1
_MARK = b"-1"
_SPACING_DIGITS = 1e-5
"""The spacing of the abscissa is written with six digits."""

_UNITS_OF_TYPES = {5: "degC", 8: "mm", 9: "N", 11: "m/s", 12: "m/s^2", 13: "N", 15: "Pa", 19: "rpm"}
"""One unit of each quantity that a data set may hold, where it does not label the unit."""


class UffSource(WholeFileSource):
    """Time responses of a universal file, named by node and direction (``1 x+``); spectra are passed over."""

    @staticmethod
    def decode(path: Path) -> Decoded:
        """Return every time response of a file."""
        return [_decoded(path, number, entry) for number, entry in enumerate(_responses(path))]


def _decoded(path: Path, number: int, entry: dict[str, Any]) -> tuple[Column, np.ndarray]:
    name, values = _name(entry, number), np.asarray(entry["data"])
    where, fault = f"{path}, response '{name}'", ""
    if len(values) != entry["num_pts"]:
        fault = f"{where}: its header tells of {entry['num_pts']} samples, {len(values)} are there."
    rate = None if fault or not len(values) else _rate(entry, where)
    unit = _unit(entry)
    return Column(name=name, n_samples=len(values), sampling_rate_hz=rate, unit=unit, fault=fault), values


def _responses(path: Path) -> list[dict[str, Any]]:
    """Read the whole file."""
    uff = required("pyuff", f"{path} is a universal file (UFF)")
    require_decodable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on sets of other kinds, which are passed over
            if path.read_bytes().split()[-1:] != [_MARK]:
                raise ValueError("its last data set has no end")
            file = uff.UFF(str(path))
            numbers = [n for n, kind in enumerate(file.get_set_types()) if int(kind) == 58]
            sets = [file.read_sets(n) for n in numbers]
    except Exception as error:  # the package answers damaged files with many kinds of error
        raise DataError(f"{path} is not a whole universal file ({one_line(error)}); copy it again.") from None
    responses = [entry for entry in sets if entry.get("func_type") == _TIME_RESPONSE]
    if not responses:
        raise DataError(f"{path} holds no time response (data set 58, function type 1).")
    return responses


def _rate(entry: dict[str, Any], where: str) -> float | None:
    """Return the rate by the spacing of the abscissa, or by its values where they stand one by one."""
    unit = _labelled(entry, "abscissa")
    unit_s = seconds_in(unit) or 1.0
    step = float(entry.get("abscissa_inc") or 0.0)
    if step > 0:
        return TimeAxis(name="", step=step, uncertainty=_SPACING_DIGITS, unit_s=unit_s).sampling_rate_hz
    times = np.asarray(entry["x"], np.float64) * unit_s
    if len(times) < 2:
        return None
    return read_time_axis("[s]", lambda start, stop: times[start:stop], len(times), where).sampling_rate_hz


def _unit(entry: dict[str, Any]) -> str | None:
    label = _labelled(entry, "ordinate")
    return label if label.lower() in UNITS else _UNITS_OF_TYPES.get(entry.get("ordinate_spec_data_type", 0))


def _labelled(entry: dict[str, Any], axis: str) -> str:
    return str(entry.get(f"{axis}_axis_units_lab") or "").strip()


def _name(entry: dict[str, Any], number: int) -> str:
    """Node and direction as analysers write them: 1 is x+, -1 is x-."""
    node, direction = entry.get("rsp_node"), entry.get("rsp_dir")
    if node is None or not direction or abs(int(direction)) > 3:
        return str(number)
    return f"{node} {'xyz'[abs(int(direction)) - 1]}{'+' if direction > 0 else '-'}"

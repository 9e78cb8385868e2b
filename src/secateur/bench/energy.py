"""Energy from the processor's own counter where the system lets us read it; never guessed.

The counter (Intel RAPL, also on AMD) covers the whole package and everything that runs on it, so a figure
is measured but not of the model alone. Time multiplied by a rated power is no measurement and is not given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Energy of one inference.

    Attributes
    ----------
    state : str
        ``measured(SOURCE)`` or ``unavailable``.
    joules : float or None
        Of one inference; None if unavailable.
    note : str
        What the figure covers, or why there is none.
    """

    state: str
    joules: float | None
    note: str


class RaplMeter:
    """The energy counters of the processor packages.

    Parameters
    ----------
    root : Path
        Where the system shows them.

    Attributes
    ----------
    trouble : str or None
        Why nothing can be read; None if it can.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._limits: dict[Path, int] = {}
        self.trouble: str | None = None
        zones = sorted(root.glob("intel-rapl:[0-9]")) if root.is_dir() else []
        if not zones:
            self.trouble = f"{root} shows no energy counter of the processor"
        try:
            limits = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
            for zone in zones:
                _number(zone / "energy_uj")
            self._limits = limits
        except (OSError, ValueError) as error:
            self.trouble = f"the energy counter cannot be read ({error})"

    def read(self) -> tuple[int, ...]:
        """Return the counters in microjoules, one a package; none where nothing can be read."""
        return tuple(_number(zone / "energy_uj") for zone in self._limits)

    def between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Return joules from one reading to a later one; a counter may have started anew in between."""
        spent = (
            late - early + (limit if late < early else 0)
            for early, late, limit in zip(before, after, self._limits.values(), strict=True)
        )
        return sum(spent) / 1e6

    def energy(self, joules: float, inferences: int) -> Energy:
        """Return the energy of one inference from what all of them took."""
        if self.trouble is not None:
            return Energy(state="unavailable", joules=None, note=self.trouble)
        return Energy(
            state="measured(RAPL)",
            joules=joules / inferences,
            note="whole processor package, other work on it included",
        )


def _number(path: Path) -> int:
    return int(path.read_text("ascii"))

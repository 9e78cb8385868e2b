"""A small plotting surface that writes SVG; colours and fonts come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from secateur.report.numbers import axis_number

Writer = Callable[[float], str]

LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 34.0, 38.0


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers between ``low`` and ``high``: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(about, 1)
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def decade_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between ``low`` and ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]


@dataclass(kw_only=True)
class Axes:
    """One plot. Data limits may run backwards; a logarithmic axis is given by ``log_x``.

    Parameters
    ----------
    x_limits, y_limits : (float, float)
        Data values at the left and right, and at the bottom and top edge.
    title : str
        Read out to those who cannot see the picture.
    width, height : float
        Size in units of the drawing.
    log_x : bool
        Logarithmic horizontal axis.
    """

    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    title: str
    width: float = 460.0
    height: float = 270.0
    log_x: bool = False
    _parts: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Horizontal place of a data value."""
        low, high = self.x_limits
        if self.log_x:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Vertical place of a data value."""
        low, high = self.y_limits
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def x_axis(self, ticks: Iterable[float], label: str, write: Writer = axis_number) -> None:
        """Write tick marks and a label under the plot."""
        floor = self.height - BOTTOM
        self._parts.append(f'<path class="axis" d="M{LEFT} {floor:.1f}H{self.width - RIGHT:.1f}"/>')
        for tick in ticks:
            place = self.x(tick)
            self._parts.append(f'<path class="axis" d="M{place:.1f} {floor:.1f}v4"/>')
            self.text(place, floor + 16, write(tick), "tick", anchor="middle")
        self.text((LEFT + self.width - RIGHT) / 2, self.height - 5, label, "label", anchor="middle")

    def y_axis(self, ticks: Iterable[float], label: str, write: Writer = axis_number) -> None:
        """Draw quiet horizontal lines with their values, and a label above the plot."""
        for tick in ticks:
            place = self.y(tick)
            self._parts.append(f'<path class="grid" d="M{LEFT} {place:.1f}H{self.width - RIGHT:.1f}"/>')
            self.text(LEFT - 7, place + 4, write(tick), "tick", anchor="end")
        self.text(4.0, 13, label, "label")

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Join data points."""
        steps = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self._parts.append(f'<path class="line {escape(style)}" d="M{steps}"/>')

    def dots(self, xs: Sequence[float], ys: Sequence[float], style: str, notes: Sequence[str]) -> None:
        """Mark data points; each note shows when the pointer rests on its mark."""
        for x, y, note in zip(xs, ys, notes, strict=True):
            self._parts.append(
                f'<circle class="dot {escape(style)}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4.5">'
                f"<title>{escape(note)}</title></circle>"
            )

    def vertical(self, value: float, style: str, *, length: float | None = None) -> None:
        """Draw a vertical line at a data value, from the top over ``length`` units or the whole height."""
        end = self.height - BOTTOM if length is None else TOP + length
        self._parts.append(
            f'<path class="line {escape(style)}" d="M{self.x(value):.1f} {TOP:.1f}V{end:.1f}"/>'
        )

    def path(self, commands: str, style: str) -> None:
        """Add a path whose commands are in units of the drawing."""
        self._parts.append(f'<path class="{escape(style)}" d="{commands}"/>')

    def text(self, x: float, y: float, words: str, style: str, *, anchor: str = "start") -> None:
        """Write words at a place in units of the drawing."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{escape(style)}" {place}>{escape(words)}</text>')

    def svg(self) -> Markup:
        """Return the finished picture."""
        return Markup(
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-label="{escape(self.title)}">{"".join(self._parts)}</svg>'
        )

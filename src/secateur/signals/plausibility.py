"""Simple physics that a statement about a bearing, a speed or a sampling rate must agree with."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from secateur.signals.findings import Finding, error, note, warning
from secateur.signals.kinematics import FaultOrders

LEAST_FILL, MOST_FILL = 0.3, 1.02
"""Share of the pitch circle that the rolling elements cover: cages leave gaps, but not two thirds."""
MOST_ELEMENTS = 300
MOST_RATIO = 0.55
"""Rolling element over pitch diameter; more than the thickest rollers."""
COUNT_DOUBTFUL, COUNT_WRONG = 0.06, 0.25
TOLERABLE = 0.025
"""Share by which estimated lines may be off without a warning; rolling elements slip by 1 to 2 %."""
SPIN_HALVED = (0.45, 0.57)
SPIN_HIGHEST = 1.03
"""Twice the ball spin frequency over what the races tell at contact angle 0: the angle's cosine."""
LARGEST_ANGLE_DEG, LARGEST_THRUST_ANGLE_DEG = 46.0, 63.0
FTF_DOUBTFUL = 0.03
LEAST_RATE_HZ, LOW_RATE_HZ = 250.0, 1000.0
HIGH_RATE_HZ, MOST_RATE_HZ = 500_000.0, 10_000_000.0
HIGH_SPEED_RPM, MOST_SPEED_RPM = 30_000.0, 500_000.0
LEAST_TURNS, FEW_TURNS = 10.0, 100.0
SLOW_RPM = 100.0
LEAST_SIZE_MIL, MOST_SIZE_MIL = 1.0, 500.0


def bearing_findings(subject: str, orders: FaultOrders) -> Iterator[Finding]:
    """Compare the fault orders of a bearing with each other.

    With N rolling elements, of which g is the diameter over the pitch diameter times the cosine of the
    contact angle: ``BPFO + BPFI = N``, ``BPFI - BPFO = N g``, ``FTF = BPFO / N``, and twice the ball spin
    frequency is ``cos(angle) (1 - g^2) / g`` (Randall and Antoni, MSSP 25, 2011). The elements must fit on
    their circle.

    Parameters
    ----------
    subject : str
        What the findings are about: a recording, a bearing.
    orders : FaultOrders
    """
    total = orders.bpfo + orders.bpfi
    ratio = (orders.bpfi - orders.bpfo) / total
    fill = total * ratio / math.pi
    races = f"BPFO {orders.bpfo:.5g} and BPFI {orders.bpfi:.5g}"
    if total > MOST_ELEMENTS or ratio > MOST_RATIO or fill > MOST_FILL:
        yield error(
            "orders_too_high",
            subject,
            f"{races} over the shaft rate would take {total:.0f} rolling elements of {ratio:.2f} of the "
            "pitch diameter, which do not fit on their circle. Give multiples of the shaft rate (BPFO of a "
            "6205: 3.585), not Hz: divide by the shaft rate.",
        )
        return
    # the races see the diameter times the cosine of the contact angle, which the ball spin tells
    cosine = min(1.0, orders.bsf2 * ratio / (1.0 - ratio**2))
    if fill / cosine < LEAST_FILL:
        yield error(
            "elements_too_small",
            subject,
            f"{races} mean {total:.0f} rolling elements of {ratio:.4f} of the pitch diameter, which fill "
            f"{100 * fill:.0f} % of their circle; in a bearing they fill 30 to 100 %. Give both diameters in "
            "mm (an element in inches beside a pitch in mm looks like this).",
        )
        return
    yield from _estimate_findings(subject, orders)
    yield from _count_findings(subject, orders, total)
    yield from _spin_findings(subject, orders, ratio)
    yield from _cage_findings(subject, orders, total)


def _estimate_findings(subject: str, orders: FaultOrders) -> Iterator[Finding]:
    if orders.tolerance > 0.0:
        grave = warning if orders.tolerance > TOLERABLE else note
        yield grave(
            "estimated_bearing",
            subject,
            "the inside of the bearing is estimated: its fault lines may be off by "
            f"{100 * orders.tolerance:.2g} %. Give the geometry or the multiples of the shaft rate if known.",
        )


def _count_findings(subject: str, orders: FaultOrders, total: float) -> Iterator[Finding]:
    off = abs(total - round(total))
    # figures are rounded to two digits or measured; those of an estimated geometry are not rounded
    if off <= COUNT_DOUBTFUL:
        return
    grave = error if off > COUNT_WRONG else warning
    yield grave(
        "element_count",
        subject,
        f"BPFO {orders.bpfo:.5g} + BPFI {orders.bpfi:.5g} = {total:.4g}; the sum is the number of rolling "
        f"elements, a whole number (allowed: within {COUNT_DOUBTFUL:g} of one). One of the two is wrong, or "
        "they are of two bearings.",
    )


def _spin_findings(subject: str, orders: FaultOrders, ratio: float) -> Iterator[Finding]:
    at_zero_angle = (1.0 - ratio**2) / ratio
    share = orders.bsf2 / at_zero_angle
    angle = math.degrees(math.acos(min(share, 1.0)))
    if SPIN_HALVED[0] <= share < SPIN_HALVED[1]:
        yield error(
            "spin_halved",
            subject,
            f"bsf2 {orders.bsf2:.4g} is half of what the races tell ({at_zero_angle:.4g}). bsf2 is twice the "
            f"ball spin frequency, as a ball knocks on both races in each turn: give {2 * orders.bsf2:.4g}. "
            f"(Or the contact angle is {angle:.0f} degrees, which only thrust bearings have.)",
        )
    elif share > SPIN_HIGHEST:
        yield error(
            "spin",
            subject,
            f"bsf2 {orders.bsf2:.4g} is more than the races allow ({at_zero_angle:.4g}). Correct it, or "
            "leave it out to have it computed.",
        )
    elif angle > LARGEST_ANGLE_DEG:
        grave = error if angle > LARGEST_THRUST_ANGLE_DEG else warning
        yield grave(
            "contact_angle",
            subject,
            f"bsf2 {orders.bsf2:.4g} beside {at_zero_angle:.4g} from the races means a contact angle of "
            f"{angle:.0f} degrees; bearings of shafts have 0 to 45. Correct the angle, or bsf2.",
        )


def _cage_findings(subject: str, orders: FaultOrders, total: float) -> Iterator[Finding]:
    expected = orders.bpfo / total
    if orders.ftf >= 0.5:
        yield error(
            "cage_rate",
            subject,
            f"ftf {orders.ftf:.4g}; with the inner ring turning the cage makes less than half a turn for one "
            f"of the shaft, here BPFO / N = {expected:.4f}. Give it over the shaft rate, or leave it out.",
        )
    elif abs(orders.ftf - expected) > FTF_DOUBTFUL * expected:
        yield warning(
            "cage_rate",
            subject,
            f"ftf {orders.ftf:.4g} is not BPFO / N = {expected:.4f} (allowed: within "
            f"{100 * FTF_DOUBTFUL:g} %). One of the two is wrong; leave ftf out to have it computed.",
        )


def rate_findings(subject: str, sampling_rate_hz: float) -> Iterator[Finding]:
    """Compare a sampling rate with those at which bearings are recorded."""
    rate = sampling_rate_hz
    if rate < LEAST_RATE_HZ:
        yield error(
            "sampling_rate",
            subject,
            f"sampling rate {rate:g} Hz; knocks of a bearing need 1000 Hz or more. If {rate:g} kHz is meant, "
            f"write {1000 * rate:g}.",
        )
    elif rate < LOW_RATE_HZ:
        yield warning(
            "sampling_rate",
            subject,
            f"sampling rate {rate:g} Hz; the resonances that a defect rings lie above {rate / 2:g} Hz and "
            "are not in the recording.",
        )
    elif rate > MOST_RATE_HZ:
        yield error(
            "sampling_rate", subject, f"sampling rate {rate:g} Hz; no vibration sensor reaches it. Give Hz."
        )
    elif rate > HIGH_RATE_HZ:
        yield warning(
            "sampling_rate",
            subject,
            f"sampling rate {rate:g} Hz is unusual for vibration (1 to 500 kHz). Is it in Hz?",
        )


def size_findings(subject: str, sizes_mil: Collection[float]) -> Iterator[Finding]:
    """Compare sizes of defects with those that are made or grow in bearings: their unit is easily mistaken.

    Parameters
    ----------
    subject : str
    sizes_mil : collection of float
        Thousandths of an inch.
    """
    odd = sorted({size for size in sizes_mil if not LEAST_SIZE_MIL <= size <= MOST_SIZE_MIL})
    if odd:
        meant = [
            f"if {unit} are meant, write {in_mil:.3g} for {odd[0]:g}"
            for unit, in_mil in (
                ("inches", 1000 * odd[0]),
                ("millimetres", odd[0] / 0.0254),
                ("micrometres", odd[0] / 25.4),
            )
            if LEAST_SIZE_MIL <= in_mil <= MOST_SIZE_MIL
        ]
        yield warning(
            "fault_size",
            subject,
            f"defects of {', '.join(f'{size:g}' for size in odd[:5])} mil; they have {LEAST_SIZE_MIL:g} to "
            f"{MOST_SIZE_MIL:g} mil (thousandths of an inch){''.join(f'; {entry}' for entry in meant)}.",
        )


def speed_findings(
    subject: str,
    *,
    sampling_rate_hz: float,
    shaft_speed_rpm: float | None,
    fault_orders: FaultOrders | None = None,
    duration_s: float | None = None,
) -> Iterator[Finding]:
    """Compare a shaft speed with the sampling rate, the fault lines and the length of a recording.

    Parameters
    ----------
    subject : str
    sampling_rate_hz : float
    shaft_speed_rpm : float or None
        Turns a minute; None if unknown, which finds nothing.
    fault_orders : FaultOrders, optional
    duration_s : float, optional
        Length of the recording.
    """
    if shaft_speed_rpm is None:
        return
    nyquist_hz, shaft_hz = sampling_rate_hz / 2.0, shaft_speed_rpm / 60.0
    highest = 1.0 if fault_orders is None else max(fault_orders.bpfi, fault_orders.bsf2)
    if highest * shaft_hz >= nyquist_hz:
        meant = f" If {shaft_hz:g} rpm is meant, write that." if shaft_speed_rpm > HIGH_SPEED_RPM else ""
        line = "the shaft rate" if fault_orders is None else f"the fault line at {highest:.3g} turns"
        yield error(
            "line_above_nyquist",
            subject,
            f"{shaft_speed_rpm:g} rpm puts {line} at {highest * shaft_hz:.4g} Hz, above half the sampling "
            f"rate ({nyquist_hz:g} Hz), where nothing is recorded. Correct speed (rpm), sampling rate (Hz) "
            f"or bearing.{meant}",
        )
    elif shaft_speed_rpm > HIGH_SPEED_RPM:
        grave = error if shaft_speed_rpm > MOST_SPEED_RPM else warning
        yield grave(
            "speed",
            subject,
            f"shaft speed {shaft_speed_rpm:g} rpm is above that of all but spindles and turbochargers "
            f"({HIGH_SPEED_RPM:g} rpm). If {shaft_hz:g} rpm is meant, write that.",
        )
    elif shaft_speed_rpm < SLOW_RPM:
        yield from _slow_findings(subject, shaft_speed_rpm, duration_s)


def _slow_findings(subject: str, speed_rpm: float, duration_s: float | None) -> Iterator[Finding]:
    turns = math.inf if duration_s is None else duration_s * speed_rpm / 60.0
    if turns >= FEW_TURNS and duration_s is not None:
        return
    held = "" if duration_s is None else f" the recording of {duration_s:.3g} s holds {turns:.3g} turns, and"
    grave, needed = (error, LEAST_TURNS) if turns < LEAST_TURNS else (warning, FEW_TURNS)
    yield grave(
        "speed",
        subject,
        f"shaft speed {speed_rpm:g} rpm:{held} fault lines of so slow a shaft need {needed:g} turns or "
        f"more. If {speed_rpm:g} Hz is meant, write {60 * speed_rpm:g} rpm.",
    )

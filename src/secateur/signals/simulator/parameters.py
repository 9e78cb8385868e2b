"""What the simulated rigs are made of. Every figure has its unit and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.signals.kinematics import BearingGeometry

MM_PER_MIL = 0.0254


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One structural mode between bearing and sensor: a damped oscillator.

    Parameters
    ----------
    frequency_hz : float
        Natural frequency; housings of small machines ring at 1 to 5 kHz (Smith and Randall, MSSP 64-65,
        2015, found the informative bands of the Case Western rig there).
    damping_ratio : float
        Share of critical damping; 1 to 5 % for bolted steel structures (McFadden and Smith, Journal of
        Sound and Vibration 96, 1984, use rings of a few milliseconds).
    gain : float
        Amplitude of the ring for a unit knock, arbitrary unit; 1.0 is the strongest mode of a rig.
    """

    frequency_hz: float
    damping_ratio: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class Gear:
    """A gear on the shaft.

    Parameters
    ----------
    teeth : int
        Number of teeth; the mesh rate is this times the shaft rate.
    amplitude : float
        Amplitude of the mesh tone over the RMS of the background noise; chosen so that the tone is seen in
        a spectrum but does not rule it.
    modulation : float
        Amplitude modulation of the mesh at shaft rate, from eccentricity, 0 to 1; 0.1 to 0.3 in
        Randall, Vibration-based Condition Monitoring, 2011, chapter 2.
    """

    teeth: int
    amplitude: float
    modulation: float


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A machine: bearing, structure, speeds and its own noises.

    Parameters
    ----------
    name : str
        Part of the names of its recordings.
    bearing : BearingGeometry
        Bearing under test; dimensions from catalogues.
    modes : tuple of Mode
        Structure between bearing and sensor.
    speeds_rpm : tuple of float
        Shaft speed at load 0, 1, 2, ...; an induction motor slows under load (1797 to 1730 rpm on the
        2 hp motor at Case Western).
    gear : Gear or None
        Gear on the shaft.
    shaft_amplitudes : tuple of float
        Amplitudes of shaft rate and multiples over the RMS of the background noise; unbalance and
        misalignment (Randall 2011, chapter 2).
    structural_noise : float
        Share of the background noise's power that comes through the modes (0 to 1), the rest is white; so
        that a healthy machine shows the same resonances as a damaged one.
    """

    name: str
    bearing: BearingGeometry
    modes: tuple[Mode, ...]
    speeds_rpm: tuple[float, ...]
    gear: Gear | None = None
    shaft_amplitudes: tuple[float, ...] = (0.35, 0.2, 0.1)
    structural_noise: float = 0.4


@dataclass(frozen=True, kw_only=True)
class DefectPhysics:
    """How a defect knocks.

    Parameters
    ----------
    sizes_mil : tuple of float
        Defect diameters in thousandths of an inch; those of the Case Western set.
    snr_db : tuple of float
        Power of the knocks over that of everything else, for each size; larger ones knock harder. Chosen
        so that the envelope shows the line of the smallest in a window of 0.7 s.
    slip : float
        Standard deviation of the time between knocks over its mean: rolling elements slip; 0.01 to 0.02
        (Randall and Antoni, MSSP 25, 2011).
    mean_slip : float
        Largest lasting deviation of a specimen's rates from kinematics, either way; below 0.01 (same source).
    strength_spread : float
        Standard deviation of the logarithm of the strength of single knocks; dimensionless, chosen.
    load_zone_extent : float
        Load distribution factor epsilon of Stribeck's law ``(1 - (1 - cos a) / (2 epsilon)) ** 1.5``;
        0.5 for zero clearance (Harris, Rolling Bearing Analysis), less with clearance.
    unloaded_floor : float
        Strength of knocks outside the load zone over that in its middle, from preload; 0 to 1, chosen.
    entry_share : float
        Strength of the entry into a defect over that of the exit, opposite in sign; entry is the weaker
        one (Sawalhi and Randall, MSSP 25, 2011). The delay between them is the defect's width over
        the speed of the rolling contact, which makes spectra depend on the size.
    load_gain : float
        Growth of the knocks' strength for each load step over that of the noise, 0.05 is 5 %; chosen.
    """

    sizes_mil: tuple[float, ...] = (7.0, 14.0, 21.0)
    snr_db: tuple[float, ...] = (-6.0, -3.0, 0.0)
    slip: float = 0.01
    mean_slip: float = 0.003
    strength_spread: float = 0.15
    load_zone_extent: float = 0.5
    unloaded_floor: float = 0.1
    entry_share: float = 0.4
    load_gain: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How the rigs are recorded.

    Parameters
    ----------
    sampling_rate_hz : float
        That of the Case Western set's main part.
    duration_s : float
        Length of a recording; as there.
    normal_specimens : int
        Healthy bearings of each rig.
    fault_specimens : int
        Damaged bearings of each rig, location and size.
    gain_spread_db : float
        Standard deviation of the sensor's gain from recording to recording, so that level tells nothing.
    mode_spread : float
        Standard deviation of mode frequencies (over themselves) and of the logarithm of mode gains (times
        ten) from specimen to specimen: each mounting differs. Chosen.
    speed_spread : float
        Standard deviation of the true speed around the one set, over the latter; the tachometer gives the
        true one to 1 rpm. Case Western's recordings differ by 0.3 %.
    """

    sampling_rate_hz: float = 12_000.0
    duration_s: float = 10.0
    normal_specimens: int = 4
    fault_specimens: int = 1
    gain_spread_db: float = 4.0
    mode_spread: float = 0.02
    speed_spread: float = 0.002


DEFAULT_RIGS = (
    Rig(
        name="motor",
        bearing=BearingGeometry(
            designation="6205", n_balls=9, ball_diameter_mm=7.94, pitch_diameter_mm=39.04
        ),
        modes=(
            Mode(frequency_hz=1350.0, damping_ratio=0.03, gain=0.5),
            Mode(frequency_hz=2780.0, damping_ratio=0.02, gain=1.0),
            Mode(frequency_hz=3460.0, damping_ratio=0.02, gain=0.8),
        ),
        speeds_rpm=(1797.0, 1772.0, 1750.0, 1730.0),
    ),
    Rig(
        name="gearbox",
        bearing=BearingGeometry(
            designation="6203", n_balls=8, ball_diameter_mm=6.746, pitch_diameter_mm=28.5
        ),
        modes=(
            Mode(frequency_hz=1020.0, damping_ratio=0.04, gain=0.6),
            Mode(frequency_hz=2210.0, damping_ratio=0.025, gain=1.0),
            Mode(frequency_hz=4150.0, damping_ratio=0.015, gain=0.7),
        ),
        speeds_rpm=(1497.0, 1480.0, 1462.0, 1440.0),
        gear=Gear(teeth=23, amplitude=0.4, modulation=0.2),
    ),
    Rig(
        name="pump",
        bearing=BearingGeometry(
            designation="6207", n_balls=9, ball_diameter_mm=11.112, pitch_diameter_mm=53.5
        ),
        modes=(
            Mode(frequency_hz=1720.0, damping_ratio=0.03, gain=0.9),
            Mode(frequency_hz=3050.0, damping_ratio=0.03, gain=1.0),
            Mode(frequency_hz=4620.0, damping_ratio=0.02, gain=0.4),
        ),
        speeds_rpm=(1980.0, 1965.0, 1948.0, 1930.0),
        shaft_amplitudes=(0.5, 0.15, 0.1, 0.1, 0.1, 0.3),
    ),
)

# A slewing ring as under cranes and wind-turbine blades: many balls, a few turns a minute, driven by a
# pinion. Its knocks are seconds or tenths of a second apart, so it needs long windows.
SLEWING_RIG = Rig(
    name="slewing",
    bearing=BearingGeometry(
        designation="slewing ring", n_balls=62, ball_diameter_mm=25.0, pitch_diameter_mm=700.0
    ),
    modes=(
        Mode(frequency_hz=760.0, damping_ratio=0.03, gain=0.8),
        Mode(frequency_hz=1900.0, damping_ratio=0.02, gain=1.0),
    ),
    speeds_rpm=(8.0, 7.9, 7.8, 7.7),
    gear=Gear(teeth=104, amplitude=0.5, modulation=0.1),
    shaft_amplitudes=(),
)

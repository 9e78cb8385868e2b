"""What the front end computes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.core.errors import ConfigError
from secateur.core.typed import typed
from secateur.signals.lines import FAMILIES
from secateur.signals.windows import WINDOW_LENGTH

CONTEXT_FAMILIES = (
    "bpfo_side",
    "bpfi_side",
    "bsf2_side",
    "shaft_high",
    "beside_bpfo",
    "beside_bpfi",
    "beside_bsf2",
)
"""Lines that tell a fault from what looks like it: sidebands, and shaft multiples next to a fault line."""

CONTEXT_HARMONICS = 4
GEOMETRY_FIGURES = 18


@dataclass(frozen=True, kw_only=True)
@typed
class FrontEndSettings:
    """Constants of the front end; they travel with the checkpoint and the bundle.

    Parameters
    ----------
    sampling_rate_hz : float
        Rate of the windows.
    window_length : int
        Samples a window. 8192 at 12 kHz hold about 20 shaft turns at 1800 rpm, which is what it takes
        to tell neighbouring fault lines apart.
    band_shares : tuple of float
        Centres of the demodulation bands as shares of half the sampling rate.
    band_filter_length : int
        Samples of each band filter (Hann-windowed complex exponential); its pass band is about
        ``2 * sampling_rate_hz / band_filter_length`` wide.
    envelope_hop : int
        Samples from one envelope value to the next.
    spectrum_length : int
        Length of the (zero-padded) Fourier transform of the envelopes.
    harmonics : int
        Lines looked for in each family: 1 to ``harmonics`` times its rate.
    slip_tolerance : float
        How far a line may lie from its computed rate, as a share of that rate: rolling elements slip
        by 1 to 2 % (Randall and Antoni, MSSP 25, 2011).
    frames, frame_bins : int
        Spectrogram frames a window, and frequency bins of each. Without frames the lines alone decide: a
        spectrum tells the specimen as well as the fault.
    frame_filter_length : int
        Samples of one short-time Fourier transform behind the frames.
    peak_points, floor_points : int
        Points read within the slip tolerance of a line, and beside it; long windows resolve more.
    context : bool
        Show the model also :data:`CONTEXT_FAMILIES`, and one token of the geometry itself: speed, orders,
        and how far each line lies from the next multiple of the shaft rate.
    feature_noise : float
        Standard deviation of the noise added to features in training, in decades.
    band_dropout : float
        Share of demodulation bands hidden in training.
    frame_dropout : float
        Share of windows whose spectrogram frames are hidden in training, so that lines must do.
    frame_colouring : float
        Standard deviation, in decades, of a random smooth gain curve over frequency added to the
        frames in training: the resonances of one rig must not become the signature of a fault.
    """

    sampling_rate_hz: float
    window_length: int = WINDOW_LENGTH
    band_shares: tuple[float, ...] = (0.1, 0.233, 0.367, 0.5, 0.633, 0.767, 0.9)
    band_filter_length: int = 48
    envelope_hop: int = 8
    spectrum_length: int = 2048
    harmonics: int = 4
    slip_tolerance: float = 0.012
    frames: int = 8
    frame_bins: int = 64
    frame_filter_length: int = 128
    peak_points: int = 5
    floor_points: int = 12
    context: bool = False
    feature_noise: float = 0.1
    band_dropout: float = 0.3
    frame_dropout: float = 0.3
    frame_colouring: float = 0.5

    def __post_init__(self) -> None:
        if self.window_length < 4 * self.frame_filter_length:
            raise ConfigError(
                f"a window of {self.window_length} samples is too short for frames of "
                f"{self.frame_filter_length}; give at least {4 * self.frame_filter_length}."
            )
        if self.frames < 0:
            raise ConfigError(f"frames is {self.frames}; it must not be negative.")
        if (self.frame_filter_length // 2) % self.frame_bins:
            raise ConfigError(
                f"{self.frame_bins} frame bins do not divide the {self.frame_filter_length // 2} "
                "frequencies of the frames; choose a divisor."
            )
        if self.context and self.harmonics != CONTEXT_HARMONICS:
            raise ConfigError(f"context needs {CONTEXT_HARMONICS} harmonics; {self.harmonics} were given.")
        if self.peak_points < 1 or self.floor_points < 2 or self.floor_points % 2:
            raise ConfigError(
                f"peak_points {self.peak_points} and floor_points {self.floor_points}; the first must be at "
                "least 1, the second even and at least 2."
            )
        if not all(0 < share < 1 for share in self.band_shares):
            raise ConfigError(f"band_shares {self.band_shares}; each must lie between 0 and 1.")
        if self.envelope_length > self.spectrum_length:
            raise ConfigError(
                f"{self.envelope_length} envelope samples do not fit a spectrum of "
                f"{self.spectrum_length}; raise spectrum_length or envelope_hop."
            )

    @property
    def n_bands(self) -> int:
        """Envelopes a window: one a band, and the whitened one over all of them."""
        return len(self.band_shares) + 1

    @property
    def families(self) -> tuple[str, ...]:
        """Families of lines that are looked for."""
        return FAMILIES + (CONTEXT_FAMILIES if self.context else ())

    @property
    def band_centres_hz(self) -> tuple[float, ...]:
        """Centres of the demodulation bands."""
        return tuple(share * self.sampling_rate_hz / 2 for share in self.band_shares)

    @property
    def envelope_length(self) -> int:
        """Samples of each envelope."""
        return (self.window_length - self.band_filter_length) // self.envelope_hop + 1

    @property
    def envelope_rate_hz(self) -> float:
        """Rate of the envelopes."""
        return self.sampling_rate_hz / self.envelope_hop

    @property
    def resolution_hz(self) -> float:
        """Frequency resolution of a window's envelope spectrum."""
        return self.sampling_rate_hz / self.window_length


def front_end_for(
    sampling_rate_hz: float, window_length: int, *, lines_alone: bool = False
) -> FrontEndSettings:
    """Return the default front end for windows of a length: its spectrum is long enough for them.

    With ``lines_alone`` it shows fault lines and no frames.
    """
    enough = 2 ** (window_length // FrontEndSettings.envelope_hop - 1).bit_length()
    longest = max(FrontEndSettings.spectrum_length, enough)
    return FrontEndSettings(
        sampling_rate_hz=sampling_rate_hz,
        window_length=window_length,
        spectrum_length=longest,
        frames=0 if lines_alone else FrontEndSettings.frames,
    )


def foundation_front_end() -> FrontEndSettings:
    """Return the front end of foundation models: windows of 1.4 s at 12 kHz, seen with their context.

    Twice the default length, so that lines of an insert bearing (BPFI at 4.95 times the shaft rate) stand
    apart from whole multiples; the points within the slip tolerance are as dense as the spectrum.
    """
    return FrontEndSettings(
        sampling_rate_hz=12_000.0,
        window_length=16_384,
        spectrum_length=4_096,
        peak_points=17,
        floor_points=24,
        context=True,
    )

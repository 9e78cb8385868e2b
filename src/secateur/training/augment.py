"""Random but reproducible variations of a batch of windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.core.errors import ConfigError
from secateur.core.typed import typed
from secateur.training.batches import Batch


@dataclass(frozen=True, kw_only=True)
@typed
class Augmentation:
    """How windows are varied in training.

    Parameters
    ----------
    noise_probability : float
        Share of windows that get additive white noise.
    snr_db : (float, float)
        Range from which each noisy window's signal-to-noise ratio is drawn uniformly, in dB.
    circular_shift : bool
        Roll each window by a random number of samples.
    polarity : bool
        Flip the sign of half of the windows (a sensor mounted the other way round).
    gain_db : float
        Scale by a gain drawn from -gain_db to +gain_db. Windows come at unit RMS; a little gain
        keeps a model from leaning on that being exact.
    speed_unknown_probability : float
        Share of windows whose shaft rate is withheld (set to 0), so that the fallback is learnt.
    speed_jitter : float
        Relative half-width of a uniform error of the shaft rate (0.01 is 1 %).
    """

    noise_probability: float = 0.7
    snr_db: tuple[float, float] = (-10.0, 20.0)
    circular_shift: bool = True
    polarity: bool = True
    gain_db: float = 1.0
    speed_unknown_probability: float = 0.1
    speed_jitter: float = 0.01

    def __post_init__(self) -> None:
        for name in ("noise_probability", "speed_unknown_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie in 0..1.")
        if self.snr_db[0] > self.snr_db[1]:
            raise ConfigError(f"snr_db is {self.snr_db}; give the lower end first.")
        if self.gain_db < 0 or not 0 <= self.speed_jitter < 1:
            raise ConfigError(
                f"gain_db is {self.gain_db} and speed_jitter {self.speed_jitter}; "
                "the first must not be negative, the second must lie in 0..1."
            )


NO_AUGMENTATION = Augmentation(
    noise_probability=0.0,
    circular_shift=False,
    polarity=False,
    gain_db=0.0,
    speed_unknown_probability=0.0,
    speed_jitter=0.0,
)


def augment(batch: Batch, augmentation: Augmentation, seed: int) -> Batch:
    """Return a varied copy of a batch; the same seed gives the same variation.

    Noise is scaled to the exact ratio within each window, then the window is brought back to zero
    mean and unit RMS, as every window is, and the gain is applied last.

    Parameters
    ----------
    batch : dict of Tensor
        Windows at unit RMS; not changed.
    augmentation : Augmentation
    seed : int
        Seed of this batch.

    Returns
    -------
    dict of Tensor
    """
    waveform, rate = batch["waveform"], batch["shaft_rate_hz"]
    random = torch.Generator().manual_seed(seed)
    size, length = waveform.shape

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(size, generator=random)

    shifts = torch.randint(0, length, (size,), generator=random)
    signs = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    gains_db = uniform(-augmentation.gain_db, augmentation.gain_db)
    noisy = uniform(0, 1) < augmentation.noise_probability
    snr_db = uniform(*augmentation.snr_db)
    unknown = uniform(0, 1) < augmentation.speed_unknown_probability
    speed = 1 + uniform(-augmentation.speed_jitter, augmentation.speed_jitter)

    if augmentation.circular_shift:
        positions = (torch.arange(length) - shifts[:, None]) % length
        waveform = waveform.gather(1, positions.to(waveform.device))
    if noisy.any():
        noise = torch.randn(size, length, generator=random)
        noise /= noise.square().mean(dim=1, keepdim=True).sqrt()
        relative = torch.where(noisy, 10 ** (-snr_db / 20), 0.0).to(waveform)
        level = waveform.square().mean(dim=1).sqrt() * relative
        waveform = waveform + level[:, None] * noise.to(waveform)
        waveform = waveform - waveform.mean(dim=1, keepdim=True)
        waveform = waveform / waveform.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
    factors = 10 ** (gains_db / 20)
    if augmentation.polarity:
        factors = factors * signs
    waveform = waveform * factors.to(waveform)[:, None]
    rate = torch.where(unknown.to(rate.device), 0.0, rate * speed.to(rate))
    return {**batch, "waveform": waveform, "shaft_rate_hz": rate}

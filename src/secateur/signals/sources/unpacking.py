"""Refuse compressed arrays that unpack to far more than a recording could."""

from __future__ import annotations

from secateur.core.errors import DataError

UNSUSPECTED_BYTES = 256 << 20
HIGHEST_RATIO = 100
LARGEST_BYTES = 8 << 30


def require_plausible_size(unpacked: int, packed: int, where: str) -> None:
    """Check the size that an array has when unpacked.

    Vibration compresses to a half or a quarter; a hundredth is not a recording.

    Raises
    ------
    DataError
        If it unpacks to more than 8 GiB, or to more than 256 MiB from less than a hundredth of that.
    """
    if unpacked > UNSUSPECTED_BYTES and unpacked > HIGHEST_RATIO * max(packed, 1):
        raise DataError(
            f"{where} unpacks from {packed >> 10} KiB to {unpacked >> 20} MiB; no recording compresses like "
            "that. It is not read."
        )
    if unpacked > LARGEST_BYTES and packed != unpacked:
        raise DataError(
            f"{where} unpacks to {unpacked >> 30} GiB, more than {LARGEST_BYTES >> 30} GiB; store it as "
            "NPY, WAV or Parquet, which are read piece by piece."
        )

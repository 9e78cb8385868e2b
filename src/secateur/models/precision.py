"""Where bfloat16 helps."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from secateur.core.errors import ConfigError


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return 'bf16' or 'fp32'; 'auto' asks whether the device multiplies bfloat16 in hardware.

    Raises
    ------
    ConfigError
        If the name is none of 'auto', 'bf16', 'fp32'.
    """
    if precision == "auto":
        return "bf16" if _computes_bf16(device) else "fp32"
    if precision not in ("bf16", "fp32"):
        raise ConfigError(f"unknown precision '{precision}'; allowed: auto, bf16, fp32.")
    return precision


def autocast(
    device: torch.device, precision: str, *, weights_stay: bool = True
) -> AbstractContextManager[None]:
    """Return the autocast context of a resolved precision.

    Where weights change while it lasts they must not ``stay``: else their first rounding is used again.
    """
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=weights_stay
    )

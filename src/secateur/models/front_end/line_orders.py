"""Where lines are looked for, in multiples of the shaft rate, and what the geometry says of them."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.models.front_end.settings import FrontEndSettings

_FARTHEST_POINTS = 8.0


def line_orders(fault_orders: Tensor, settings: FrontEndSettings) -> Tensor:
    """Return the orders of every line, (batch, families, harmonics).

    Parameters
    ----------
    fault_orders : Tensor, shape (batch, 4)
        BPFO, BPFI, twice BSF and FTF over the shaft rate.
    settings : FrontEndSettings
    """
    shaft = torch.ones_like(fault_orders[:, :1])
    harmonics = torch.arange(1.0, settings.harmonics + 1, device=fault_orders.device)
    own = torch.cat([fault_orders, shaft], dim=1)[:, :, None] * harmonics
    if not settings.context:
        return own
    bpfo, bpfi, bsf2, ftf = fault_orders.unbind(1)
    one = shaft[:, 0]
    context = [
        *(
            torch.stack([line - gap, line + gap, 2 * line - gap, 2 * line + gap], dim=1)
            for line, gap in ((bpfo, one), (bpfi, one), (bsf2, ftf))
        ),
        shaft * (harmonics + settings.harmonics),
        *(
            torch.round(line)[:, None] + torch.tensor([-2.0, -1.0, 1.0, 2.0], device=line.device)
            for line in (bpfo, bpfi, bsf2)
        ),
    ]
    return torch.cat([own, torch.stack(context, dim=1)], dim=1)


def geometry_figures(shaft_rate_hz: Tensor, fault_orders: Tensor, settings: FrontEndSettings) -> Tensor:
    """Return speed, orders and the distance of fault lines to shaft multiples, (batch, 18), about 0 to 1.

    Distances are in points of the spectrum's resolution, cut at eight.
    """
    orders = line_orders(fault_orders, settings)[:, :3]
    points = (orders - torch.round(orders)).abs() * shaft_rate_hz[:, None, None] / settings.resolution_hz
    near = points.clamp(max=_FARTHEST_POINTS).flatten(1) / _FARTHEST_POINTS
    rate = shaft_rate_hz.clamp(min=1.0)
    speed = torch.stack([torch.log10(rate) - 1.0, torch.log10(rate / settings.resolution_hz) - 1.0], dim=1)
    return torch.cat([near, speed, fault_orders[:, :3] / 10.0, fault_orders[:, 3:]], dim=1)

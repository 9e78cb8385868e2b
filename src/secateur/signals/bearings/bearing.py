"""A bearing and where the figures of its fault rates come from."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.signals.kinematics import FaultOrders


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """A bearing whose fault orders are known.

    Parameters
    ----------
    designation : str
        Name in the catalogue, or the geometry in words.
    orders : FaultOrders
        Fault rates in multiples of the shaft rate; ``orders.tolerance`` is above zero where they are
        estimated.
    source : str
        Where the figures come from.
    """

    designation: str
    orders: FaultOrders
    source: str

    @property
    def estimated(self) -> bool:
        """Whether the figures follow from a rule and not from a published geometry."""
        return self.orders.tolerance > 0.0

    def __str__(self) -> str:
        orders = self.orders
        lines = (
            f"BPFO {orders.bpfo:.4g}, BPFI {orders.bpfi:.4g}, 2 BSF {orders.bsf2:.4g}, FTF {orders.ftf:.3g}"
        )
        doubt = f", estimated within {100 * orders.tolerance:.2g} %" if self.estimated else ""
        return f"{self.designation} ({lines}{doubt})"

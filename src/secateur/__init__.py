"""secateur: cut a transformer that diagnoses bearings down to what the device beside the machine can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(folder: str | Path) -> nn.Module:
    """Load a model that secateur saved, verified against its checksums and its pruning plan.

    Parameters
    ----------
    folder : str or Path
        A checkpoint folder, such as ``DIR/pruned`` of ``secateur compress --out DIR``.

    Returns
    -------
    torch.nn.Module
        The model in evaluation mode.

    Raises
    ------
    secateur.core.errors.CheckpointError
        If the folder is damaged, truncated or does not match its plan.
    secateur.core.errors.MissingPackage
        If torch or another package that a model needs is not installed; the message tells how to install it.
    """
    from secateur.core.extras import explained

    with explained("loading a model"):
        from secateur.models.checkpoint import load as load_checkpoint

    return load_checkpoint(Path(folder))

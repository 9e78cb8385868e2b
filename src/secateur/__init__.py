"""secateur: cut a transformer that diagnoses bearings down to what the device beside the machine can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

__version__ = "0.1.0"
__all__ = ["__version__", "load", "save"]


def load(folder: str | Path) -> nn.Module:
    """Load a model that secateur saved, verified against its checksums and its pruning plan.

    Parameters
    ----------
    folder : str or Path
        A checkpoint folder, such as ``DIR/pruned`` of ``secateur compress --out DIR``, or the folder of an
        adapter (peft) that was trained on such a model; it is then merged into the model.

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
        from secateur.models.pretrained import ADAPTER

    if (Path(folder) / ADAPTER).is_file():
        with explained("merging an adapter"):
            from secateur.recovery.trained_adapters import load_merged

        return load_merged(Path(folder))
    return load_checkpoint(Path(folder))


def save(model: nn.Module, folder: str | Path, *, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Save a model that :func:`load` returned, trained further perhaps, as a whole checkpoint again.

    Plan, metadata and tokenizer of the checkpoint that it was loaded from go along.

    Parameters
    ----------
    model : torch.nn.Module
        Adapters must be merged (``model.merge_and_unload()``).
    folder : str or Path
        Where to; a checkpoint already there is replaced once the new one is verified, anything else is
        refused.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        Default: that of the checkpoint which the model was loaded from.

    Raises
    ------
    secateur.core.errors.SecateurError
        If the folder holds something else, the model was cut by other means, or what was written does not
        give the model back.
    """
    from secateur.core.extras import explained

    with explained("saving a model"):
        from secateur.models.checkpoint import save as save_checkpoint

    save_checkpoint(model, Path(folder), tokenizer=tokenizer)

"""secateur: cut a transformer that diagnoses bearings down to what the device beside the machine can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from secateur.methods.base import Compression
    from secateur.workflow.live import Calibration
    from secateur.workflow.option_types import LiveOptionTypes
    from secateur.workflow.sia import Check

__version__ = "0.1.0"
__all__ = ["__version__", "check_independence", "load", "prune", "save", "sia"]


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
    from secateur.core.typed import require_type

    require_type("folder", folder, str | Path)
    with explained("loading a model"):
        from secateur.models.checkpoint import load as load_checkpoint
        from secateur.models.pretrained import ADAPTER

    if (Path(folder) / ADAPTER).is_file():
        with explained("merging an adapter"):
            from secateur.recovery.trained_adapters import load_merged

        return load_merged(Path(folder))
    return load_checkpoint(Path(folder))


def save(model: nn.Module, folder: str | Path, *, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Save what :func:`load` returned or :func:`prune` made, trained further perhaps, as a whole checkpoint.

    Its plan goes along, and metadata and tokenizer of the checkpoint that it was loaded from.

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
        from secateur.workflow.live import save_live

    save_live(model, folder, tokenizer=tokenizer)


def prune(
    model: nn.Module,
    *,
    calibration: Calibration = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: Literal["text", "answers", "labels", "embeddings"] | None = None,
    **cut: Unpack[LiveOptionTypes],
) -> Compression:
    """Cut a ``transformers`` model that is in memory.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    calibration : path, sequence of str, or sequence of dict, optional
        A file of the task, texts, rows (dicts of ``text`` and ``label``, or of ``prompt`` and ``answer``), or
        batches as the model takes them (dicts of tensors). Without it units are scored by the magnitude of
        their weights.
    tokenizer : transformers.PreTrainedTokenizerBase, optional
        With which a file or texts are read.
    task : {"text", "answers", "labels", "embeddings"}, optional
        What the file holds; default: what the model's head is for.
    **cut
        Options of ``secateur prune`` by their names, whose types are
        :class:`secateur.workflow.option_types.LiveOptionTypes`: ``ratio``, ``block_fraction`` or
        ``max_parameters``; ``method`` ("rounds", "cascade", "one_shot", "scratch";
        "magnitude", "int4", "svd"), ``rounds``, ``units``, ``uniform``, ``recovery_steps``, ``floors``,
        ``seed`` and more. Tokens are cut of folders alone (``secateur prune --vocabulary``).

    Returns
    -------
    Compression
        ``model``, the small one; the ``change`` (a plan, or compact weights), its ``cost`` in the unit of the
        budget, and the ``records`` of the stages.

    Raises
    ------
    secateur.core.errors.SecateurError
        If the size cannot be reached, or model, data and settings do not fit each other.
    """
    from secateur.core.extras import explained

    with explained("cutting a model"):
        from secateur.workflow.live import prune_live

    return prune_live(model, calibration=calibration, tokenizer=tokenizer, task=task, **cut)


def check_independence(
    model: nn.Module,
    *,
    calibration: Calibration,
    tokenizer: PreTrainedTokenizerBase | None = None,
    ratio: float | None = 4.0,
    budget_s: float = 60.0,
    seed: int = 0,
) -> Check:
    """Check whether importance scores can be trusted on a model in memory; ``secateur.sia`` is the same.

    Parameters
    ----------
    model, calibration, tokenizer
        As for :func:`prune`.
    ratio : float, optional
        Dense over remaining parameters, for the prediction of the cost.
    budget_s : float
        Seconds of measuring, at most.
    seed : int

    Returns
    -------
    Check
        Its ``structure``, ``measured`` part and ``verdict``.

    Raises
    ------
    secateur.core.errors.SecateurError
        If there is nothing to measure on, or the model's family is not known.
    """
    from secateur.core.extras import explained

    with explained("checking a model"):
        from secateur.workflow.live import sia_live

    return sia_live(
        model, calibration=calibration, tokenizer=tokenizer, ratio=ratio, budget_s=budget_s, seed=seed
    )


sia = check_independence

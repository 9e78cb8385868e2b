"""What an export is asked for, whichever the model and the format."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secateur.core.errors import ConfigError
from secateur.core.typed import typed

AskedPrecision = Literal["fp32", "bf16", "fp16", "int8", "int4"]
Scheme = Literal["dynamic", "static", "weights"]


@dataclass(frozen=True, kw_only=True)
@typed
class ExportRequest:
    """One export.

    Attributes
    ----------
    source : str
        Checkpoint folder; for a language model also a ``transformers`` folder, a GGUF file, or a hub id.
    folder : Path
        Where to.
    precision : {"fp32", "bf16", "fp16", "int8", "int4"}
        Of the weights.
    quantise : {"dynamic", "static", "weights"}, optional
        With int8 for a Diagnoser: where ranges of activations come from, or that they stay in float.
    data, split : str, optional
        Recordings and split for a Diagnoser other than those of its training.
    text : Path, optional
        Text on which a language model is judged.
    """

    source: str
    folder: Path
    precision: AskedPrecision = "fp32"
    quantise: Scheme | None = None
    data: str | None = None
    split: str | None = None
    text: Path | None = None

    def require_only(self, used: Collection[str], what: str) -> None:
        """Refuse options that this export has no use for.

        Parameters
        ----------
        used : collection of str
            Names among ``quantise``, ``data``, ``split`` and ``text``.
        what : str
            The export, for the message.

        Raises
        ------
        ConfigError
            Naming the options.
        """
        wrong = [
            f"--{name}"
            for name in ("data", "split", "text", "quantise")
            if getattr(self, name) is not None and name not in used
        ]
        if wrong:
            raise ConfigError(f"{', '.join(wrong)}: not for {what}; leave out.")

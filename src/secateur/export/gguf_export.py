"""A causal language model as a GGUF file, which a real llama.cpp has run where one is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from secateur.core.files import folder_aside, require_replaceable, sha256_of
from secateur.core.records import write_json
from secateur.export.causal_parity import NEW_TOKENS, Prompts, reference_generation
from secateur.export.gguf_file import GgufPrecision, require_gguf, write_gguf
from secateur.export.gguf_model import GgufModel, gguf_model
from secateur.export.gguf_tokenizer import gguf_tokenizer
from secateur.export.gguf_verification import GGUF_TOLERANCES, GgufVerification, verify_gguf
from secateur.export.llama_cpp import llama_cpp_version
from secateur.export.onnx import frozen_copy

GGUF_FILE = "model.gguf"
GGUF_RECORD = "gguf.json"


@dataclass(frozen=True, kw_only=True)
class GgufInfo:
    """What was written.

    Attributes
    ----------
    folder : Path
        With ``model.gguf`` and ``gguf.json``.
    architecture : str
        Of llama.cpp: ``llama`` or ``deci``.
    precision : str
        Of the matrices.
    n_bytes : int
        Size of the file.
    tensors : dict of str to int
        Tensors of each type.
    verification : GgufVerification or None
        None where no llama.cpp has run it.
    unverified_because : str or None
        Why not.
    """

    folder: Path
    architecture: str
    precision: str
    n_bytes: int
    tensors: Mapping[str, int]
    verification: GgufVerification | None
    unverified_because: str | None


def export_gguf(
    model: nn.Module,
    prompts: Prompts,
    out: Path,
    *,
    name: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    lineage: Mapping[str, Any] | None = None,
    precision: GgufPrecision = "f32",
    new_tokens: int = NEW_TOKENS,
) -> GgufInfo:
    """Write a Llama-like model as GGUF, and let llama.cpp run it where the package ``xllamacpp`` is there.

    Parameters
    ----------
    model : PreTrainedModel
        Left as it is. Layers may have unequal widths.
    prompts : sequence of sequence of int
        Tokens to compare llama.cpp with the checkpoint on.
    out : Path
        The folder; a former export there is replaced, anything else is refused.
    name : str
        What to call the model.
    tokenizer : PreTrainedTokenizerBase, optional
        Put into the file.
    lineage : mapping, optional
        Kept in ``gguf.json``.
    precision : {"f32", "f16", "q8_0", "q4_0"}
        Of the matrices.
    new_tokens : int
        Tokens of greedy generation that are compared.

    Raises
    ------
    ConfigError
        If the model is no decoder, the package ``gguf`` is missing, or ``out`` holds something else.
    ExportError
        If GGUF cannot hold the model or its tokenizer, or llama.cpp computes something else.
    """
    require_gguf()
    require_replaceable(Path(out), GGUF_RECORD)
    gguf_model(model)
    described = gguf_model(frozen_copy(model))
    told = None if tokenizer is None else gguf_tokenizer(tokenizer, vocabulary=described.vocabulary)
    with folder_aside(Path(out)) as folder:
        file = folder / GGUF_FILE
        tensors = write_gguf(file, described, told, name=name, precision=precision)
        verification, reason = None, None
        if llama_cpp_version() is None:
            reason = "llama.cpp is not installed; pip install 'secateur[llamacpp]'"
        elif tokenizer is None or told is None or told.whole_token is None:
            reason = "llama.cpp tells no probabilities without a tokenizer"
        else:
            references = reference_generation(described.causal, prompts, new_tokens=new_tokens)
            reading = (tokenizer, told.whole_token)
            verification = verify_gguf(file, described, references, reading, GGUF_TOLERANCES[precision])
        write_json(
            folder / GGUF_RECORD,
            {
                "name": name,
                "file": GGUF_FILE,
                "sha256": sha256_of(file),
                "bytes": file.stat().st_size,
                "precision": precision,
                "tensors": tensors,
                "tokenizer": None if told is None else told.pre,
                "verification": verification,
                "unverified_because": reason,
                "lineage": dict(lineage or {}),
                **_shape(described),
            },
        )
        n_bytes = file.stat().st_size
    return GgufInfo(
        folder=Path(out),
        architecture=described.architecture,
        precision=precision,
        n_bytes=n_bytes,
        tensors=tensors,
        verification=verification,
        unverified_because=reason,
    )


def _shape(described: GgufModel) -> dict[str, Any]:
    return {
        "architecture": described.architecture,
        "heads": described.heads,
        "groups": described.groups,
        "channels": described.channels,
    }

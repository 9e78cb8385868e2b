"""Writing a GGUF file, tensor by tensor."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from secateur.core.errors import ConfigError
from secateur.core.progress import track
from secateur.export.gguf_model import GgufModel
from secateur.export.gguf_tokenizer import GgufTokenizer
from secateur.export.onnx import silent

GgufPrecision = Literal["f32", "f16", "q8_0", "q4_0"]

_BLOCK = 32
"""Weights that share a scale in Q8_0 and Q4_0; rows of another length stay in 16 bits."""

_TABLES = ("token_embd.weight", "output.weight")
"""Embedding and head, which keep 8 bits where the layers have 4."""


def require_gguf() -> None:
    """Check that the package that writes GGUF is there.

    Raises
    ------
    ConfigError
        If not; the message says how to install it.
    """
    if find_spec("gguf") is None:
        raise ConfigError("GGUF is written with the package 'gguf': pip install 'secateur[gguf]'.")


def write_gguf(
    path: Path,
    described: GgufModel,
    tokenizer: GgufTokenizer | None,
    *,
    name: str,
    precision: GgufPrecision,
) -> dict[str, int]:
    """Write a model for llama.cpp.

    Parameters
    ----------
    path : Path
        In a folder that is written aside; nothing here renames it.
    described : GgufModel
    tokenizer : GgufTokenizer, optional
        Without, the file takes and gives numbers of tokens only.
    name : str
        What to call the model.
    precision : {"f32", "f16", "q8_0", "q4_0"}
        Of the matrices. Norms stay in float32; with Q8_0 and Q4_0, matrices whose rows are no multiple of 32
        in float16; with Q4_0, embedding and head in Q8_0.

    Returns
    -------
    dict of str to int
        Tensors of each type.

    Raises
    ------
    ConfigError
        If the package that writes GGUF is not installed.
    """
    require_gguf()
    import gguf

    writer = gguf.GGUFWriter(str(path), described.architecture)
    try:
        _add_description(writer, described, name, precision)
        if tokenizer is not None:
            _add_tokenizer(writer, tokenizer)
        counts: dict[str, int] = {}
        for tensor_name, tensor in track(described.tensors(), "writing tensors"):
            array = tensor.numpy()
            kind = stored_as(array, precision, is_table=tensor_name in _TABLES)
            counts[kind] = counts.get(kind, 0) + 1
            writer.add_tensor(tensor_name, *_encoded(array, kind))
        with silent():
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
    finally:
        writer.close()
    return counts


def _add_description(writer: Any, described: GgufModel, name: str, precision: GgufPrecision) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    alike = described.architecture == "llama"
    writer.add_name(name)
    writer.add_block_count(len(described.heads))
    writer.add_context_length(described.context_length)
    writer.add_embedding_length(described.hidden)
    writer.add_feed_forward_length(described.channels[0] if alike else list(described.channels))
    writer.add_head_count(described.heads[0] if alike else list(described.heads))
    writer.add_head_count_kv(described.groups[0] if alike else list(described.groups))
    writer.add_key_length(described.head_dim)
    writer.add_value_length(described.head_dim)
    writer.add_layer_norm_rms_eps(described.norm_epsilon)
    writer.add_rope_dimension_count(described.head_dim)
    writer.add_rope_freq_base(described.rope_base)
    writer.add_vocab_size(described.vocabulary)
    kinds = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
        "q4_0": LlamaFileType.MOSTLY_Q4_0,
    }
    writer.add_file_type(kinds[precision])
    if precision in ("q8_0", "q4_0"):
        writer.add_quantization_version(GGML_QUANT_VERSION)


def _add_tokenizer(writer: Any, tokenizer: GgufTokenizer) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.types))
    writer.add_token_merges(list(tokenizer.merges))
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(tokenizer.add_eos)
    setters = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    for token, number in tokenizer.special.items():
        setters[token](number)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def stored_as(array: np.ndarray, precision: GgufPrecision, *, is_table: bool) -> GgufPrecision:
    """Return the type that a tensor of a file of that precision has.

    Parameters
    ----------
    array : ndarray
    precision : {"f32", "f16", "q8_0", "q4_0"}
    is_table : bool
        Whether it is the embedding or the head.
    """
    if array.ndim == 1 or precision == "f32":
        return "f32"
    if precision == "f16" or array.shape[-1] % _BLOCK:
        return "f16"
    return "q8_0" if is_table else precision


def _encoded(array: np.ndarray, kind: GgufPrecision) -> tuple[Any, ...]:
    """Arguments of ``add_tensor`` after the name."""
    from gguf import GGMLQuantizationType, quantize

    if kind == "f32":
        return (array,)
    if kind == "f16":
        return (array.astype(np.float16),)
    packing = GGMLQuantizationType[kind.upper()]
    packed = quantize(array, packing)
    return packed, packed.shape, packing

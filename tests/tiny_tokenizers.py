"""Tiny tokenizers of every kind, trained in a moment on the documentation of Python."""

from __future__ import annotations

import json
import pydoc_data.topics
from collections import Counter
from collections.abc import Callable
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    MBartTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    T5Tokenizer,
)

TEXT = "".join(pydoc_data.topics.topics.values())
TRAINING = TEXT[:80_000].splitlines()
SIZE = 900
WHOLE_WORD = "Ġunderscore"


def _trained(model: Any, pre_tokenizer: Any, trainer: Callable[..., Any], **options: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(TRAINING, trainer(vocab_size=SIZE, show_progress=False, **options))
    return tokenizer


def _vocabulary(tokenizer: Tokenizer) -> dict[str, Any]:
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def _byte_level(*special: str) -> Tokenizer:
    tokenizer = _trained(
        models.BPE(),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        trainers.BpeTrainer,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gpt2() -> PreTrainedTokenizerBase:
    return GPT2Tokenizer(**_vocabulary(_byte_level("<|endoftext|>")))


def roberta() -> PreTrainedTokenizerBase:
    return RobertaTokenizer(**_vocabulary(_byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>")))


def framed() -> PreTrainedTokenizerBase:
    """Byte level with a template, padding, and added tokens behind the vocabulary."""
    tokenizer = _byte_level("<end>", "<start>", "<pad>")
    start, end, pad = (tokenizer.token_to_id(name) for name in ("<start>", "<end>", "<pad>"))
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<start> $A <end>", special_tokens=[("<start>", start), ("<end>", end)]
            ),
        ]
    )
    tokenizer.enable_padding(pad_id=pad, pad_token="<pad>")
    tokenizer.add_tokens([AddedToken("   ", normalized=False), "<tool>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<start>", eos_token="<end>", pad_token="<pad>"
    )


def whole_words() -> PreTrainedTokenizerBase:
    """Byte level that takes whole words from the vocabulary before any merge, some without merges."""
    content = json.loads(_byte_level("<end>").to_str())
    content["model"]["ignore_merges"] = True
    content["model"]["vocab"][WHOLE_WORD] = len(content["model"]["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(content))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def llama() -> PreTrainedTokenizerBase:
    """Characters with a fallback on bytes, the whole text one word."""
    tokenizer = _trained(
        models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True),
        pre_tokenizers.Metaspace(),
        trainers.BpeTrainer,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
    )
    vocabulary = _vocabulary(tokenizer)
    return LlamaTokenizer(**vocabulary, add_bos_token=True)


def suffixed() -> PreTrainedTokenizerBase:
    tokenizer = _trained(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
        pre_tokenizers.BertPreTokenizer(),
        trainers.BpeTrainer,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
    )
    tokenizer.decoder = decoders.BPEDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def prefixed() -> PreTrainedTokenizerBase:
    tokenizer = _trained(
        models.BPE(unk_token="<unk>", continuing_subword_prefix="##"),
        pre_tokenizers.BertPreTokenizer(),
        trainers.BpeTrainer,
        special_tokens=["<unk>"],
        continuing_subword_prefix="##",
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def bert() -> PreTrainedTokenizerBase:
    """WordPiece with a vocabulary that is counted, not trained: the trainer breaks ties by chance."""
    normalizer, pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word
        for text in TRAINING
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
    )
    letters = sorted({letter for word in words for letter in word})
    often = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokens = [*pieces, *often][:SIZE]
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})


def _unigram(*special: str) -> Tokenizer:
    tokenizer = _trained(
        models.Unigram(),
        pre_tokenizers.Metaspace(),
        trainers.UnigramTrainer,
        special_tokens=list(special),
        unk_token="<unk>",
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def unigram() -> PreTrainedTokenizerBase:
    tokenizer = _unigram("<s>", "<unk>", "</s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def t5() -> PreTrainedTokenizerBase:
    vocabulary = json.loads(_unigram("<pad>", "</s>", "<unk>").to_str())["model"]["vocab"]
    return T5Tokenizer(vocab=[tuple(entry) for entry in vocabulary], extra_ids=4)


def mbart() -> PreTrainedTokenizerBase:
    """A class that adds language codes behind the vocabulary and puts one around each text."""
    vocabulary = json.loads(_unigram("<s>", "<pad>", "</s>", "<unk>").to_str())["model"]["vocab"]
    return MBartTokenizer(vocab=[tuple(entry) for entry in vocabulary])


def clip() -> PreTrainedTokenizerBase:
    tokenizer = _trained(
        models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        trainers.BpeTrainer,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    return CLIPTokenizer(**_vocabulary(tokenizer))


def words() -> PreTrainedTokenizerBase:
    tokenizer = _trained(
        models.WordLevel(unk_token="<unk>"),
        pre_tokenizers.Whitespace(),
        trainers.WordLevelTrainer,
        special_tokens=["<unk>"],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


KINDS = {
    kind.__name__: kind
    for kind in (
        gpt2,
        roberta,
        framed,
        whole_words,
        llama,
        clip,
        suffixed,
        prefixed,
        bert,
        unigram,
        t5,
        mbart,
        words,
    )
}
BYTE_LEVEL = ("gpt2", "roberta", "framed", "whole_words")

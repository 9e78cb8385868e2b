"""Words of a chat template stay in a cut vocabulary, and the template is never run."""

from __future__ import annotations

import pytest

import tiny_tokenizers
from secateur.core.progress import quiet
from secateur.models.chat_words import chat_tokens
from secateur.models.tokenizer_trim import trim_vocabulary
from tiny_gguf import tiny_llama

CHAT = (
    "{% for message in messages %}{{ '<|endoftext|>' + message['role'] + '\\n' }}"
    "{% if message.role == 'user' %}object: {% else %}exception {% endif %}{{ message.content }}{% endfor %}"
    "{% generation %}{{ raise_exception('never run') }}{{ 1 // 0 }}{% endgeneration %}"
)


@pytest.mark.parametrize("kind", ["str", "dict"])
def test_a_cut_tokenizer_writes_a_conversation_in_the_same_tokens(kind, tmp_path):
    tokenizer, model = tiny_tokenizers.gpt2(), tiny_llama(tied=True)
    tokenizer.chat_template = CHAT if kind == "str" else {"default": CHAT}
    (tmp_path / "text.txt").write_text("zzz")
    with quiet():
        trimmed = trim_vocabulary(model, tokenizer, tmp_path / "text.txt")
    for text in ("user\n", "assistant\n", "object: ", "exception "):
        dense = tokenizer(text)["input_ids"]
        assert [trimmed.tokens[token] for token in trimmed.tokenizer(text)["input_ids"]] == dense, text


def test_no_template_adds_nothing():
    assert chat_tokens(tiny_tokenizers.gpt2()) == set()


def test_a_template_that_cannot_be_read_gives_the_roles():
    tokenizer = tiny_tokenizers.gpt2()
    tokenizer.chat_template = "{% if 'x"
    assert set(tokenizer("user")["input_ids"]) <= chat_tokens(tokenizer)

"""A cut tokenizer encodes its text as before, encodes anything else still, and comes back from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import (
    AutoTokenizer,
    ByT5Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from secateur.core.errors import ConfigError
from secateur.core.progress import quiet
from secateur.models import tokenizer_trim
from secateur.models.tokenizer_closure import bpe_parts, closed_tokens
from secateur.models.tokenizer_trim import trim_tokenizer, trim_vocabulary
from secateur.models.tokenizer_usage import used_tokens
from tiny_tokenizers import BYTE_LEVEL, KINDS, TEXT, WHOLE_WORD

CORPUS = TEXT[100_000:106_000] + "\n\n  héllo 日本 😀 \t<tool>   x\nunderscore an underscore\n"
QUICK = settings(max_examples=60, derandomize=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(CORPUS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def every_kind(
    corpus: Path,
) -> dict[str, tuple[PreTrainedTokenizerBase, tuple[int, ...], PreTrainedTokenizerBase]]:
    found = {}
    for name, build in KINDS.items():
        tokenizer = build()
        with quiet():
            tokens = used_tokens(tokenizer, corpus)
        found[name] = (tokenizer, tokens, trim_tokenizer(tokenizer, tokens))
    return found


@pytest.fixture(params=list(KINDS))
def kind(every_kind, request: pytest.FixtureRequest):
    """Dense tokenizer, kept tokens, cut tokenizer."""
    return every_kind[request.param]


def test_the_text_is_encoded_in_the_same_tokens(kind):
    tokenizer, tokens, trimmed = kind
    for text in (CORPUS, *CORPUS.splitlines()):
        expected = tokenizer(text)["input_ids"]
        assert [tokens[token] for token in trimmed(text)["input_ids"]] == expected


def test_numbers_are_dense_and_in_the_former_order(kind):
    tokenizer, tokens, trimmed = kind
    assert len(tokens) < len(tokenizer)
    assert trimmed.convert_ids_to_tokens(range(len(tokens))) == tokenizer.convert_ids_to_tokens(list(tokens))
    assert sorted(trimmed.get_vocab().values()) == list(range(len(tokens)))


def test_special_tokens_stay_what_they_are(kind):
    tokenizer, tokens, trimmed = kind
    assert trimmed.special_tokens_map == tokenizer.special_tokens_map
    for name in ("bos", "eos", "pad", "unk", "cls", "sep", "mask"):
        former, new = getattr(tokenizer, f"{name}_token_id"), getattr(trimmed, f"{name}_token_id")
        assert former == (None if new is None else tokens[new])
    former = {tokens[number]: token for number, token in trimmed.added_tokens_decoder.items()}
    assert {number: str(token) for number, token in former.items()} == {
        number: str(token) for number, token in tokenizer.added_tokens_decoder.items()
    }
    assert [token.special for token in former.values()] == [
        tokenizer.added_tokens_decoder[number].special for number in former
    ]


def test_every_kept_token_can_still_be_given(kind):
    """Text that the dense tokenizer encodes in one kept token is encoded in it by the cut one."""
    tokenizer, tokens, trimmed = kind
    for token in tokens:
        text = tokenizer.decode([token])
        if tokenizer.encode(text, add_special_tokens=False) == [token]:
            assert [tokens[new] for new in trimmed.encode(text, add_special_tokens=False)] == [token]


def test_the_dense_tokenizer_is_left_as_it_was(kind):
    tokenizer, tokens, _ = kind
    before = tokenizer.backend_tokenizer.to_str()
    trim_tokenizer(tokenizer, tokens)
    assert tokenizer.backend_tokenizer.to_str() == before


@given(text=st.text())
@QUICK
def test_byte_level_tokenizers_give_any_text_back(every_kind, text):
    for name in BYTE_LEVEL:
        tokenizer, _, trimmed = every_kind[name]
        expected = tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))
        assert trimmed.decode(trimmed.encode(text, add_special_tokens=False)) == expected == text


@given(text=st.text())
@QUICK
def test_a_fallback_on_bytes_gives_any_text_back(every_kind, text):
    tokenizer, _, trimmed = every_kind["llama"]
    found = trimmed.encode(text, add_special_tokens=False)
    assert trimmed.unk_token_id not in found
    assert trimmed.decode(found) == tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))


@given(data=st.data())
@QUICK
def test_any_closed_choice_of_tokens_can_be_cut(every_kind, data):
    """Not only tokens that a text uses: the parts of a token suffice to give it."""
    tokenizer = every_kind["gpt2"][0]
    drawn = data.draw(st.sets(st.integers(0, len(tokenizer) - 1), min_size=1, max_size=30))
    tokens = closed_tokens(tokenizer, drawn)
    assert closed_tokens(tokenizer, tokens) == tokens
    trimmed = trim_tokenizer(tokenizer, tokens)
    for token in drawn:
        text = tokenizer.decode([token])
        if tokenizer.encode(text) == [token]:
            assert [tokens[new] for new in trimmed.encode(text)] == [token]


def test_saved_folders_load_in_a_fresh_process(every_kind, tmp_path):
    """Beside a configuration of the model, as a checkpoint has them, and without traces of this machine."""
    for name, (_, _, trimmed) in every_kind.items():
        trimmed.save_pretrained(tmp_path / name)
        if name == "llama":
            LlamaConfig(vocab_size=len(trimmed)).save_pretrained(tmp_path / name)
        for file in (tmp_path / name).iterdir():
            assert tempfile.gettempdir() not in file.read_text("utf-8")
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom transformers import AutoTokenizer\n"
        "text = Path(sys.argv[1], 'text').read_text('utf-8')\n"
        "found = {p.name: AutoTokenizer.from_pretrained(p)(text)['input_ids']"
        " for p in Path(sys.argv[1]).iterdir() if p.is_dir()}\nprint(json.dumps(found))"
    )
    (tmp_path / "text").write_text(CORPUS, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    expected = {name: trimmed(CORPUS)["input_ids"] for name, (_, _, trimmed) in every_kind.items()}
    assert json.loads(answer.stdout) == expected


def test_a_saved_table_of_added_tokens_is_renumbered(every_kind, tmp_path):
    """Folders of former releases list the added tokens in a second file."""
    dense, tokens, _ = every_kind["framed"]
    dense.save_pretrained(tmp_path)
    settings_file = tmp_path / "tokenizer_config.json"
    content = json.loads(settings_file.read_text("utf-8"))
    content["added_tokens_decoder"] = {
        str(number): {"content": str(token), "special": token.special, "normalized": token.normalized}
        for number, token in dense.added_tokens_decoder.items()
    }
    settings_file.write_text(json.dumps(content), encoding="utf-8")
    trimmed = trim_tokenizer(AutoTokenizer.from_pretrained(tmp_path), tokens)
    assert [tokens[token] for token in trimmed(CORPUS)["input_ids"]] == dense(CORPUS)["input_ids"]


def test_whole_words_come_straight_from_the_vocabulary(every_kind):
    tokenizer, tokens, trimmed = every_kind["whole_words"]
    (word,) = trimmed.encode(" underscore")
    assert tokenizer.convert_ids_to_tokens(tokens[word]) == WHOLE_WORD


def test_parts_are_those_of_the_most_urgent_merges():
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("ab", "c"): 2, ("a", "bc"): 3, ("x", "y"): 4}
    assert bpe_parts("abc", ranks) == {"a", "b", "c", "bc", "abc"}
    assert bpe_parts("ab", ranks) == {"a", "b", "ab"}
    assert bpe_parts("a", ranks) == {"a"}
    assert bpe_parts("axy", ranks) == set()


def test_parts_of_marked_tokens():
    prefixed = {("u", "##n"): 0, ("##a", "##b"): 1, ("un", "##ab"): 2}
    assert bpe_parts("unab", prefixed, prefix="##") == {"u", "##n", "un", "##a", "##b", "##ab", "unab"}
    assert bpe_parts("##ab", prefixed, prefix="##") == {"##a", "##b", "##ab"}
    suffixed = {("a", "b</w>"): 0, ("a", "b"): 1}
    assert bpe_parts("ab</w>", suffixed, suffix="</w>") == {"a", "b</w>", "ab</w>"}
    assert bpe_parts("ab", suffixed, suffix="</w>") == {"a", "b", "ab"}


def test_a_merge_that_would_steal_is_not_needed():
    """Parts that the dense tokenizer never passes through are not kept, though a chain leads over them."""
    vocabulary = {token: number for number, token in enumerate(["a", "b", "c", "ab", "bc", "abc"])}
    merges = [("b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc")]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    )
    tokens = closed_tokens(tokenizer, [vocabulary["abc"]])
    assert tokens == (0, 1, 2, 4, 5)
    trimmed = trim_tokenizer(tokenizer, tokens)
    assert trimmed.tokenize("abc") == ["abc"]
    assert trimmed.tokenize("ab") == ["a", "b"]


def test_tokens_that_are_not_closed_are_refused(every_kind):
    tokenizer, tokens, _ = every_kind["gpt2"]
    with pytest.raises(ConfigError, match=r"1 are missing .*'<\|endoftext\|>'"):
        trim_tokenizer(tokenizer, tokens[1:])
    with pytest.raises(ConfigError, match="ascending"):
        trim_tokenizer(tokenizer, tokens[::-1])


def test_a_class_that_numbers_tokens_itself_is_refused(every_kind, monkeypatch):
    tokenizer, tokens, _ = every_kind["gpt2"]
    stubborn = type("Stubborn", (), {"from_pretrained": staticmethod(lambda folder: deepcopy(tokenizer))})
    monkeypatch.setattr(tokenizer_trim, "AutoTokenizer", stubborn)
    with pytest.raises(ConfigError, match="GPT2Tokenizer cannot be cut: it gives numbers of its own to"):
        trim_tokenizer(tokenizer, tokens)


def test_a_tokenizer_that_throws_dice_is_refused(every_kind, corpus):
    """Merges left out at random would make the choice of tokens, and the model's input, a matter of luck."""
    content = json.loads(every_kind["gpt2"][0].backend_tokenizer.to_str())
    content["model"]["dropout"] = 0.5
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)))
    with quiet(), pytest.raises(ConfigError, match="differently"):
        trim_vocabulary(small_llama(960), tokenizer, corpus)


def test_slow_tokenizers_are_refused(corpus):
    with pytest.raises(ConfigError, match="ByT5Tokenizer is a slow tokenizer"):
        used_tokens(ByT5Tokenizer(), corpus)


def small_llama(size: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            bos_token_id=870,
            eos_token_id=0,
        )
    )


def test_a_model_and_its_tokenizer_are_trimmed_together(every_kind, corpus):
    """What the model's configuration names stays, and rows that the tokenizer does not know go."""
    tokenizer = every_kind["gpt2"][0]
    assert 870 not in every_kind["gpt2"][1]
    with quiet():
        trimmed = trim_vocabulary(small_llama(960), tokenizer, corpus)
    assert set(trimmed.tokens) >= {0, 870, *every_kind["gpt2"][1]}
    assert max(trimmed.tokens) < len(tokenizer)
    assert len(trimmed.tokenizer) == len(trimmed.tokens)


def test_a_tokenizer_of_another_model_is_refused(every_kind, corpus):
    with quiet(), pytest.raises(ConfigError, match="the model has only 871"):
        trim_vocabulary(small_llama(871), every_kind["framed"][0], corpus)

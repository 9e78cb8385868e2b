"""SmolLM2 and MiniLM from their packages: the figures that are known of them."""

from __future__ import annotations

import pytest
import torch

from secateur.core.progress import quiet
from secateur.models import gguf as reading
from secateur.models.binding import bind
from secateur.models.pretrained import open_pretrained
from secateur.models.text import TokenSource
from secateur.structure.counting import shape_parameters
from secateur.tasks.perplexity import perplexity
from secateur.tasks.similarity import embed, pair_similarity, paraphrases
from tiny_tokenizers import TEXT

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def test_smollm2_is_converted_once_and_predicts_english(smollm2_folder, tmp_path, monkeypatch):
    conversions, convert = [], reading._convert
    monkeypatch.setattr(reading, "_convert", lambda *given: (conversions.append(given), convert(*given)))
    opened = open_pretrained(smollm2_folder)
    already = len(conversions)
    assert already <= 1
    opened = open_pretrained(smollm2_folder)
    assert len(conversions) == already
    model, bound = opened.model, bind(opened.model)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert shape_parameters(bound.spec.family, bound.shape) == 134_515_008
    text = tmp_path / "topics.txt"
    text.write_text(TEXT, encoding="utf-8")
    last_part = TokenSource(path=text, tokenizer=opened.tokenizer, first=0.75)
    tokens = [token for piece in last_part.pieces() for token in piece][:2048]
    found = perplexity(model, tokens, context=512)
    low, high = found.interval
    assert low < found.value < high
    assert found.value == pytest.approx(10.86, rel=0.005)


def test_minilm_tells_paraphrases_from_unrelated_sentences(minilm_folder):
    opened = open_pretrained(minilm_folder)
    assert type(opened.model).__name__ == "BertModel"
    assert shape_parameters(bind(opened.model).spec.family, bind(opened.model).shape) == 22_713_216
    first, second = (embed(opened.model, opened.tokenizer, side) for side in zip(*paraphrases(), strict=True))
    found = pair_similarity(first, second)
    assert found.paraphrase_mean > 0.6
    assert abs(found.unrelated_mean) < 0.1
    assert found.separation > 0.98

"""Embeddings of sentences: padding does not count, and the figures are those of their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError
from secateur.tasks.similarity import embed, embedding_fidelity, pair_similarity, paraphrases
from zoo import ZOO

SENTENCES = ["the class", "an underscore in the name of a module", "a", "return the value of the call"]


def encoder(name="bert"):
    specimen = next(entry for entry in ZOO if entry.name == name)
    return specimen.build(vocab_size=len(tiny_tokenizers.bert()))


def test_embeddings_are_masked_means_at_length_one(monkeypatch):
    model, tokenizer = encoder(), tiny_tokenizers.bert()
    model.train()
    monkeypatch.setattr("secateur.tasks.similarity.SENTENCES_AT_ONCE", 3)
    found = embed(model, tokenizer, SENTENCES)
    assert model.training
    model.eval()
    for row, sentence in zip(found, SENTENCES, strict=True):
        with torch.no_grad():
            states = model.base_model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        expected = states.mean(dim=0)
        np.testing.assert_allclose(row, expected / expected.norm(), atol=1e-5)


def test_figures_follow_their_definitions():
    draw = np.random.default_rng(0)
    first = draw.standard_normal((9, 5))
    second = first + draw.standard_normal((9, 5))
    first, second = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    within = [first[i] @ second[i] for i in range(9)]
    apart = [first[i] @ second[j] for i in range(9) for j in range(9) if i != j]
    found = pair_similarity(first, second)
    assert found.pairs == 9
    assert found.paraphrase_mean == pytest.approx(np.mean(within))
    assert found.unrelated_mean == pytest.approx(np.mean(apart))
    assert found.separation == pytest.approx(mannwhitneyu(within, apart).statistic / (9 * 72))
    assert embedding_fidelity(first, second) == pytest.approx(np.mean(within))
    assert embedding_fidelity(first, first) == pytest.approx(1)


def test_extremes_of_separation():
    apart = np.eye(4)
    assert pair_similarity(apart, apart).separation == 1
    alike = np.ones((4, 1))
    assert pair_similarity(alike, alike).separation == 0.5


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="two or more pairs"):
        pair_similarity(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(DataError, match="cannot be compared"):
        embedding_fidelity(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ConfigError, match="no padding token"):
        embed(encoder(), tiny_tokenizers.gpt2(), SENTENCES)


def test_the_pairs_are_sound():
    pairs = paraphrases()
    sentences = [sentence for pair in pairs for sentence in pair]
    assert len(pairs) == 60
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() and sentence[-1] in ".?" for sentence in sentences)

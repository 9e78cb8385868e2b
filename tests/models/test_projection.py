"""Dense layers and norms behind the pooling belong to the embedding, in measures, cuts and bundles."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from safetensors.torch import save_file

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.core.progress import quiet
from secateur.edge.texts import TextEncoder
from secateur.export.encoder_bundle import write_encoder_bundle
from secateur.models import checkpoint
from secateur.models.pooling import modules_of
from secateur.models.pretrained import open_pretrained
from secateur.tasks.embedding import pooled
from secateur.tasks.kinds import objective_of
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.prune import prune_model
from token_tasks import BERT, DROPOUT_FREE

KINDS = ("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Normalize")
WORDS = ("assert", "raise", "exception", "statement")
SENTENCES = [" ".join((*words, "by the.\n")) for words in itertools.permutations(WORDS)]


@pytest.fixture
def folder(tmp_path):
    """A sentence model with a dense layer and a norm behind its pooling."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer, place = tiny_tokenizers.bert(), tmp_path / "model"
    BertModel(BertConfig(**BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)})).save_pretrained(place)
    tokenizer.save_pretrained(place)
    named = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"some.models.{kind}"}
        for n, kind in enumerate(KINDS)
    ]
    (place / "modules.json").write_text(json.dumps(named))
    told = {
        "1_Pooling": ({"pooling_mode_mean_tokens": True}, None),
        "3_Dense": (
            {
                "in_features": 32,
                "out_features": 12,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
            {"linear.weight": torch.randn(12, 32), "linear.bias": torch.randn(12)},
        ),
        "4_LayerNorm": (
            {"dimension": 12},
            {"norm.weight": torch.randn(12), "norm.bias": torch.randn(12)},
        ),
    }
    for name, (config, weights) in told.items():
        (place / name).mkdir()
        (place / name / "config.json").write_text(json.dumps(config))
        if weights is not None:
            save_file(weights, place / name / "model.safetensors")
    return place


@torch.no_grad()
def test_an_embedding_is_what_the_last_module_gives(folder):
    opened = open_pretrained(folder)
    batch = dict(opened.tokenizer(SENTENCES[:3], padding=True, return_tensors="pt"))
    mask = batch["attention_mask"][..., None]
    mean = (opened.model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
    dense, norm = modules_of(opened.model).projection[1], modules_of(opened.model).projection[3]
    unit = mean / mean.norm(dim=-1, keepdim=True)
    wanted = torch.tanh(unit @ dense.weight.T + dense.bias)
    wanted = torch.nn.functional.layer_norm(wanted, (12,), norm.weight, norm.bias)
    torch.testing.assert_close(pooled(opened.model, batch), wanted)


def test_the_whole_embedding_is_cut_judged_and_deployed(folder, tmp_path):
    text = tmp_path / "sentences.txt"
    text.write_text("".join(SENTENCES))
    cut = cut_of_model(calibration=text, ratio=1.05, recovery_steps=2)
    with quiet():
        prune_model(str(folder), cut, tmp_path / "pruned")
        small, tokenizer = (
            checkpoint.load(tmp_path / "pruned"),
            checkpoint.load_tokenizer(tmp_path / "pruned"),
        )
        write_encoder_bundle(small, tmp_path / "bundle", name="small", tokenizer=tokenizer)
    with torch.no_grad():
        wanted = pooled(small, dict(tokenizer(SENTENCES[:1], return_tensors="pt")))
    assert wanted.shape == (1, 12)
    found = torch.from_numpy(TextEncoder(tmp_path / "bundle").embed(SENTENCES[:1]))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_texts_of_one_embedding_are_refused(folder):
    model = open_pretrained(folder).model
    judge, batch = objective_of(model).sample_judge(), {"input_ids": torch.tensor([[5, 6], [5, 6]])}
    judge.remember(model, batch)
    with pytest.raises(DataError, match="gives the 2 texts of the calibration one and the same embedding"):
        judge.judge(model, 0, batch)


@pytest.mark.parametrize(
    ("place", "change", "error", "said"),
    [
        ("3_Dense", {"activation_function": "some.Odd"}, ConfigError, "3_Dense has the activation Odd"),
        ("3_Dense", {"module_input_name": "token_embeddings"}, ConfigError, "works on 'token_embeddings'"),
        ("3_Dense", {"out_features": 13}, CheckpointError, "3_Dense .* cannot be computed: .*size mismatch"),
        ("4_LayerNorm", {"dimension": "x"}, CheckpointError, "4_LayerNorm .* cannot be computed"),
    ],
)
def test_modules_that_cannot_be_computed_are_named(folder, place, change, error, said):
    file = folder / place / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    model = open_pretrained(folder).model
    with pytest.raises(error, match=f"(?s){said}"):
        pooled(model, {"input_ids": torch.tensor([[5, 6]])})

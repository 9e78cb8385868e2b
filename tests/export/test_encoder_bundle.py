"""Encoders and classifiers of texts as bundles: parity, the device's answers, and what is refused."""

from __future__ import annotations

import json
import sys
from importlib import metadata

import numpy as np
import pytest
import torch

import tiny_tokenizers
from secateur.bundle.verify import verify_bundle
from secateur.cli.app import run
from secateur.core.errors import CheckpointError, ConfigError, DataError, ExportError, MissingPackage
from secateur.core.progress import quiet
from secateur.edge import texts
from secateur.edge.texts import TextEncoder
from secateur.export.encoder_bundle import write_encoder_bundle
from secateur.models.binding import bind
from secateur.models.pooling import POOLING
from secateur.surgery.apply import apply
from secateur.tasks.embedding import pooled
from token_tasks import BERT, DROPOUT_FREE

LABELS = ("normal", "inner race")
SENTENCES = ["assert the statement", "raise", "the exception of the statement is raised by the assert"] * 12


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def encoder(of: str, **config):
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    tokenizer = tiny_tokenizers.bert()
    names = dict(enumerate(LABELS))
    options = BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer), "num_labels": 2, "num_hidden_layers": 2}
    options |= {"id2label": names, "label2id": {name: number for number, name in names.items()}} | config
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = {"classes": BertForSequenceClassification, "embedding": BertModel}[of](BertConfig(**options))
    for parameter in model.parameters():
        parameter.data.mul_(6 if parameter.ndim > 1 else 1)
    return model.eval(), tokenizer


@pytest.fixture(scope="module", params=["embedding", "embedding of the last token", "classes"])
def written(request, tmp_path_factory):
    """A cut model of each kind, and its bundle."""
    of, _, pooling = request.param.partition(" of the ")
    dense, tokenizer = encoder(of, **({POOLING: pooling} if pooling else {}))
    plan = bind(dense).whole_plan.with_groups(0, [0, 2]).with_channels(1, range(10))
    model = apply(dense, plan)
    with quiet():
        info = write_encoder_bundle(
            model, tmp_path_factory.mktemp("bundle") / "b", name="tiny", tokenizer=tokenizer, plan=plan
        )
    return model, tokenizer, info


def test_the_device_answers_as_the_checkpoint_does(written):
    """Ragged texts, more than a batch of them, and one by one."""
    model, tokenizer, info = written
    encoded = TextEncoder(info.folder)
    with torch.no_grad():
        if info.manifest.gives == "classes":
            wanted = torch.cat(
                [model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1) for text in SENTENCES]
            )
            found = encoded.classify(SENTENCES)
            np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
            assert encoded.manifest.labels == LABELS
        else:
            texts = (tokenizer(text, return_tensors="pt") for text in SENTENCES)
            wanted = torch.cat([pooled(model, dict(text)) for text in texts])
            found = encoded.embed(SENTENCES)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    assert len(np.unique(found.round(4), axis=0)) == 3
    assert info.manifest.parity.holds
    assert [layer.groups for layer in info.manifest.layers] == [2, 4]
    assert verify_bundle(info.folder).golden_max_abs_diff <= info.manifest.golden.tolerance


def test_long_texts_are_cut_and_wrong_calls_are_told(written):
    _, _, info = written
    encoded = TextEncoder(info.folder)
    assert len(encoded.tokens(["assert " * 500])[0]) == encoded.manifest.longest_tokens == 64
    other = encoded.embed if encoded.manifest.gives == "classes" else encoded.classify
    with pytest.raises(ConfigError, match=f"gives {encoded.manifest.gives}"):
        other(SENTENCES)
    right = encoded.classify if encoded.manifest.gives == "classes" else encoded.embed
    with pytest.raises(DataError, match="list of at least one text"):
        right([])
    with pytest.raises(DataError, match="list of at least one text"):
        right("a text that is no list")


def test_damage_and_other_runtimes_are_refused(written, tmp_path):
    from secateur.edge import Runtime

    _, _, info = written
    with pytest.raises(ConfigError):
        Runtime(info.folder)
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in info.folder.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["padding_token"] = 10**6
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="padding_token"):
        TextEncoder(copied)


def test_a_missing_or_damaged_tokenizer_is_told(monkeypatch, tmp_path):
    with pytest.raises(ExportError, match="is no tokenizer"):
        texts._tokenizer(b"{}", tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr(metadata, "requires", lambda _: ['tokenizers; extra == "texts"'])
    with pytest.raises(MissingPackage, match=r"pip install 'secateur\[texts\]'"):
        texts._tokenizer(b"{}", tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"problem_type": "multi_label_classification"}, r"gives a text no single class \(it has 2 outputs"),
        ({"num_labels": 1}, r"gives a text no single class \(it has 1 outputs"),
    ],
)
def test_heads_without_probabilities_are_refused(config, said, tmp_path):
    names = {} if "num_labels" not in config else {"id2label": {0: "a"}, "label2id": {"a": 0}}
    model, tokenizer = encoder("classes", **names, **config)
    with pytest.raises(ConfigError, match=said):
        write_encoder_bundle(model, tmp_path / "b", name="x", tokenizer=tokenizer)
    with pytest.raises(ConfigError, match="fast tokenizer"):
        write_encoder_bundle(encoder("embedding")[0], tmp_path / "b", name="x", tokenizer=None)
    assert not (tmp_path / "b").exists()


def test_compress_takes_a_classifier_to_a_bundle(tmp_path, capfd):
    model, tokenizer = encoder("classes")
    model.save_pretrained(tmp_path / "dense")
    tokenizer.save_pretrained(tmp_path / "dense")
    rows = [f"{'assert ' * (n % 20 + 1)}statement,{LABELS[n % 2]}" for n in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    out = tmp_path / "run"
    arguments = ["compress", str(tmp_path / "dense"), "--calibration", str(tmp_path / "table.csv")]
    arguments += ["--method", "rounds", "--ratio", "1.05", "--no-measure-sia", "--out", str(out), "--json"]
    assert run(arguments) == 0, capfd.readouterr().err
    told = json.loads(capfd.readouterr().out)
    assert told["no_bundle_because"] is None
    assert told["task"] == "labels"
    found = TextEncoder(out / "bundle").classify(["assert statement"])
    assert found.shape == (1, 2)
    assert run(["bundle", "inspect", str(out / "bundle")]) == 0
    assert "normal, inner race" in capfd.readouterr().out
    options = ["export", str(out / "pruned"), "--out", str(tmp_path / "b8"), "--precision", "int8"]
    assert run(options) == 2
    assert "not for an encoder of texts" in " ".join(capfd.readouterr().err.split())

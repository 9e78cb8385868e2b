"""Embeddings are made as the folder of the model tells, before a cut and after it."""

from __future__ import annotations

import json

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.hub import NOT_READ, WHOLE
from secateur.models.pooling import FIRST, LAST, MEAN, POOLING, SETTINGS, read_pooling
from secateur.models.pretrained import open_pretrained
from secateur.surgery.apply import apply
from secateur.tasks.embedding import pooled
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.prune import prune_model
from secateur.workflow.streaming.prune import prune_streaming
from token_tasks import BERT, DROPOUT_FREE


def told(folder, kinds=("Transformer", "Pooling", "Normalize"), **modes):
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "include_prompt": True} | modes)
    )
    return folder


@pytest.mark.parametrize(
    ("modes", "kinds", "found"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, None, MEAN),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, None, FIRST),
        ({"pooling_mode_lasttoken": True}, None, LAST),
        ({"pooling_mode": "cls"}, None, FIRST),
        ({"pooling_mode_max_tokens": True}, None, "max_tokens"),
        ({"pooling_mode_mean_tokens": True}, ("Transformer", "Pooling", "Dense"), MEAN),
        ({"pooling_mode_mean_tokens": True}, ("Transformer", "CNN", "Pooling"), "CNN"),
        ({}, ("Transformer",), MEAN),
    ],
)
def test_a_folder_tells_how_embeddings_are_made(tmp_path, modes, kinds, found):
    assert read_pooling(tmp_path) == MEAN
    assert read_pooling(told(tmp_path, **({} if kinds is None else {"kinds": kinds}), **modes)) == found


def test_what_cannot_be_understood_is_refused(tmp_path):
    (tmp_path / "modules.json").write_text('{"1": 2}')
    with pytest.raises(CheckpointError, match="does not say how embeddings are pooled"):
        read_pooling(tmp_path)


@pytest.fixture
def folder(tmp_path):
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizers.bert()
    BertModel(BertConfig(**BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer)})).save_pretrained(
        tmp_path / "m"
    )
    tokenizer.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize(("mode", "place"), [("cls_token", 0), ("lasttoken", -1)])
@torch.no_grad()
def test_a_cut_model_pools_as_its_dense_one_whatever_the_padding(folder, tmp_path, mode, place):
    told(folder, **{f"pooling_mode_{mode}": True})
    opened = open_pretrained(folder)
    plan = bind(opened.model).whole_plan.with_channels(1, range(10))
    checkpoint.save(apply(opened.model, plan), tmp_path / "cut", plan=plan, tokenizer=opened.tokenizer)
    model = checkpoint.load(tmp_path / "cut")
    assert getattr(model.config, POOLING) == read_pooling(folder)
    row = torch.tensor([[5, 6, 7, 8]])
    wanted = model(row).last_hidden_state[:, place]
    for left, right in ((0, 0), (0, 3), (2, 0)):
        mask = torch.nn.functional.pad(torch.ones_like(row), (left, right))
        ids = torch.nn.functional.pad(row, (left, right))
        torch.testing.assert_close(pooled(model, {"input_ids": ids, "attention_mask": mask}), wanted)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("mode", ["cls_token", "lasttoken", "mean_tokens"])
def test_a_plain_cut_folder_tells_sentence_transformers_what_the_dense_one_does(
    folder, tmp_path, mode, streamed
):
    told(folder, **{f"pooling_mode_{mode}": True})
    (folder / SETTINGS[0]).write_text('{"max_seq_length": 24, "do_lower_case": false}')
    (folder / SETTINGS[1]).write_text('{"prompts": {"query": "query: "}, "default_prompt_name": null}')
    cut = cut_of_model(criterion="magnitude", block_fraction=0.2, uniform=True)
    with quiet():
        if streamed:
            prune_streaming(folder, tmp_path / "cut", cut, max_memory_bytes=2**33)
        else:
            prune_model(str(folder), cut, tmp_path / "cut")
    assert checkpoint.describe(tmp_path / "cut").form == "plain"
    assert read_pooling(tmp_path / "cut") == read_pooling(folder)
    for name in ("modules.json", *SETTINGS):
        assert json.loads((tmp_path / "cut" / name).read_text()) == json.loads((folder / name).read_text())
    checkpoint.load(tmp_path / "cut")


def with_dense(folder, *, pickled=False):
    told(
        folder, kinds=("Transformer", "Pooling", "Dense", "Dense", "Normalize"), pooling_mode_max_tokens=True
    )
    for number, width in ((2, 48), (3, 16)):
        place = folder / f"{number}_Dense"
        place.mkdir()
        (place / "config.json").write_text(json.dumps({"in_features": 32, "out_features": width}))
        if pickled:
            (place / "pytorch_model.bin").write_bytes(b"anything")
        else:
            save_file({"linear.weight": torch.full((width, 32), float(number))}, place / "model.safetensors")


@pytest.mark.parametrize("uniform", [True, False])
def test_modules_behind_the_pooling_go_along_through_every_cut(folder, tmp_path, uniform):
    with_dense(folder)
    cut = cut_of_model(criterion="random", block_fraction=0.06 if uniform else 0.2, uniform=uniform)
    with quiet():
        prune_model(str(folder), cut, tmp_path / "once")
        prune_model(str(tmp_path / "once"), cut, tmp_path / "twice")
    assert checkpoint.describe(tmp_path / "twice").form == ("plain" if uniform else "own")
    for place in ("modules.json", "1_Pooling/config.json", "2_Dense/config.json", "3_Dense/config.json"):
        assert (tmp_path / "twice" / place).read_bytes() == (folder / place).read_bytes()
    for number in (2, 3):
        found = load_file(tmp_path / "twice" / f"{number}_Dense" / "model.safetensors")
        assert (found["linear.weight"] == number).all()


def test_a_trainer_may_save_a_sentence_model_twice_into_one_folder(folder, tmp_path):
    with_dense(folder)
    cut = cut_of_model(criterion="magnitude", block_fraction=0.2)
    with quiet():
        prune_model(str(folder), cut, tmp_path / "cut")
        for _ in range(2):
            checkpoint.load(tmp_path / "cut").save_pretrained(tmp_path / "trained")
    checkpoint.load(tmp_path / "trained")
    assert (tmp_path / "trained" / "3_Dense" / "model.safetensors").is_file()


@pytest.mark.parametrize("streamed", [False, True])
def test_a_module_that_would_be_lost_is_refused_by_name(folder, tmp_path, streamed):
    def prune():
        cut = cut_of_model(criterion="magnitude", block_fraction=0.2)
        with quiet():
            if streamed:
                prune_streaming(folder, tmp_path / "cut", cut, max_memory_bytes=2**33)
            else:
                prune_model(str(folder), cut, tmp_path / "cut")

    told(folder, kinds=("Transformer", "WeightedLayerPooling", "Pooling"))
    with pytest.raises(UnsupportedArchitecture, match=r"'WeightedLayerPooling' .* without modules.json"):
        prune()
    with_dense(folder, pickled=True)
    with pytest.raises(UnsupportedArchitecture, match=r"2_Dense/pytorch_model.bin is a pickle"):
        prune()


def test_what_is_not_computed_is_named(folder):
    told(folder, pooling_mode_max_tokens=True)
    model = open_pretrained(folder).model
    with pytest.raises(ConfigError, match="makes its embeddings by 'max_tokens'"):
        pooled(model, {"input_ids": torch.tensor([[5, 6]])})


def test_modules_are_fetched_from_the_hub_and_other_folders_are_not():
    files = ["model.safetensors", "1_Pooling/config.json", "2_Dense/model.safetensors", "onnx/config.json"]
    found = filter_repo_objects(files, allow_patterns=list(WHOLE), ignore_patterns=list(NOT_READ))
    assert list(found) == files[:-1]

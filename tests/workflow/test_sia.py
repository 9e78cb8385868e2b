"""The check as a job: early answers, the same figures again, texts and recordings, and inside a run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig

import tiny_tokenizers
from made_measured import estimate, gap, made, made_check
from secateur.core.errors import ConfigError, DataError
from secateur.core.progress import console
from secateur.core.records import read_json, write_json
from secateur.models.binding import bind
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import RunSettings, SiaSettings, TaskSettings
from secateur.workflow.sia import (
    Effort,
    check_diagnoser,
    check_model,
    check_transformer,
    measurable,
    structural_record,
)
from secateur.workflow.sia_of_run import checked, followed
from tiny_gguf import tiny_llama
from tiny_tokenizers import TEXT
from zoo import ZOO

FEW = Effort(budget_s=math.inf, max_evaluations=40)


def tokens(seed: int = 0) -> tuple[dict[str, torch.Tensor], ...]:
    draw = torch.Generator().manual_seed(seed)
    return tuple({"input_ids": torch.randint(4, 61, (4, 10), generator=draw)} for _ in range(3))


def specimen(name: str):
    return next(entry for entry in ZOO if entry.name == name).build()


def test_the_structural_answer_comes_first_and_the_measured_one_grows():
    told = []
    check = check_model(specimen("llama"), tokens(), ratio=1.15, effort=FEW, seed=0, tell=told.append)
    assert told[0].measured is None
    assert told[0].structure == check.structure
    assert len(told) > 1
    counts = [entry.measured.n_evaluations for entry in told[1:]]
    assert counts == sorted(counts)
    assert check.measured.components == ("layer", "group", "head", "channel", "matrix")
    assert check.verdict.granularities[1].basis == "measured"
    assert check.verdict.predicted_by == "trial"
    assert check.verdict.predicted_apart is not None


def test_a_number_of_evaluations_gives_the_same_figures_again():
    model = specimen("llama")
    first, second = (
        check_model(model, tokens(), ratio=1.5, effort=FEW, seed=3, components=("group", "channel"))
        for _ in range(2)
    )
    assert repr(replace(first.measured, seconds=0.0)) == repr(replace(second.measured, seconds=0.0))
    assert repr(first.verdict) == repr(second.verdict)


def test_single_heads_under_a_norm_over_all_heads_are_not_measured():
    assert "head" not in measurable(bind(specimen("olmo2")))
    assert "head" in measurable(bind(specimen("llama")))
    assert "head" not in measurable(bind(specimen("gpt2")))


def test_structure_needs_a_configuration_only(tmp_path):
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    ).save_pretrained(tmp_path)
    record = structural_record(str(tmp_path), ratio=2.0)
    assert record["measured"] is None
    parts = {entry["component"]: entry["parts"] for entry in record["structure"]["definitions"]}
    assert parts == {"layer": 30, "group": 90, "head": 270, "channel": 46080, "matrix": 3 * 46080}
    assert record["verdict"]["share"] == pytest.approx(0.5 * 134_515_008 / 106_202_880, rel=1e-3)


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_llama(tied=True).save_pretrained(folder)
    tiny_tokenizers.gpt2().save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT[-6000:], encoding="utf-8")
    return folder


def test_a_language_model_is_measured_on_a_text(llama_folder):
    effort = Effort(budget_s=math.inf, max_evaluations=30, samples=6)
    record = check_transformer(str(llama_folder), llama_folder / "text.txt", ratio=1.2, effort=effort, seed=0)
    assert record["measured"]["task"] == "language"
    assert record["measured"]["n_samples"] == 6
    assert len(record["samples"]["sha256"]) == 64
    assert {curve["score_name"] for curve in record["measured"]["removal_loss"]} <= {"perplexity_ratio"}


def test_texts_that_cannot_be_read_are_told(llama_folder, tmp_path):
    common = {"ratio": None, "effort": FEW, "seed": 0}
    with pytest.raises(DataError, match="not a file"):
        check_transformer(str(llama_folder), tmp_path / "none.txt", **common)
    tiny_llama(tied=True).save_pretrained(tmp_path / "mute")
    with pytest.raises(ConfigError, match="no tokenizer"):
        check_transformer(str(tmp_path / "mute"), llama_folder / "text.txt", **common)
    with pytest.raises(ConfigError, match="must be above 0"):
        Effort(budget_s=0.0)


def settings(**more) -> RunSettings:
    return RunSettings(task=TaskSettings(data="simulated", split="load"), cut=CutSettings(ratio=2.0), **more)


def test_a_run_follows_the_recommendation_unless_a_criterion_was_named():
    record = {"verdict": {"criterion": "activation"}}
    assert followed(settings(), record).search.criterion == "activation"
    named = settings(sia=SiaSettings(follow=False))
    assert followed(named, record) == named.cut
    assert followed(settings(), {"verdict": {"criterion": None}}) == CutSettings(ratio=2.0)


def test_an_unreliable_granularity_is_told_and_the_record_is_not_made_again(tmp_path):
    path = tmp_path / "sia.json"
    bad = replace(made(), additivity=(gap("channel", 0.2, estimate(1.2, 0.1)),), removal_loss=())
    write_json(path, made_check(bad))
    with console.capture() as captured:
        record = checked(None, None, path, seed=0)
    said = " ".join(captured.get().split())
    assert "warning: importance of channels is unreliable on this model (additivity gap)" in said
    assert record == read_json(path)
    write_json(path, made_check(made()))
    with console.capture() as captured:
        checked(None, None, path, seed=0)
    assert captured.get() == ""


def test_a_run_keeps_the_check_of_its_dense_model(small_run, small_result):
    record = read_json(small_run / "sia.json")
    assert small_result["sia"] == record
    assert record["measured"]["components"] == ["layer", "group", "channel"]
    assert record["measured"]["ended_by"] in ("evaluations", "exhausted")
    assert small_result["criterion"] == (record["verdict"]["criterion"] or "taylor")
    assert "Can it be cut by importance?" in (small_run / "report.html").read_text()


def test_a_diagnoser_is_measured_on_windows_that_its_training_did_not_see_as_far_as_they_go(
    small_run, small_result
):
    effort = Effort(budget_s=math.inf, max_evaluations=20, samples=10)
    record = check_diagnoser(small_run / "dense", data=None, split=None, ratio=1.3, effort=effort, seed=0)
    assert (record["samples"]["validation"], record["samples"]["training"]) == (8, 2)
    assert record["samples"]["data_sha256"] == small_result["data_sha256"]
    assert (record["measured"]["task"], record["measured"]["n_samples"]) == ("classification", 10)

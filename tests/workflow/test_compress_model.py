"""A whole run on a trained model: the folder it leaves, going on after a stop, and what is refused."""

from __future__ import annotations

import json
import pydoc_data.topics
import shutil

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import tiny_tokenizers
from secateur.core.errors import ConfigError, DataError, PlanError
from secateur.core.progress import quiet
from secateur.methods.stage import Workbench
from secateur.models import checkpoint
from secateur.models.tables import read_rows
from secateur.workflow import compress_model as module
from secateur.workflow import export_text
from secateur.workflow.compress_model import ModelRunSettings, compress_model
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.settings import SiaSettings
from token_tasks import BERT, DROPOUT_FREE
from zoo import ZOO

LABELS = ("normal", "inner")


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Folder of a tiny classifier of texts, and its table."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizers.bert()
    names = dict(enumerate(LABELS))
    config = BertConfig(
        **BERT | DROPOUT_FREE | {"vocab_size": len(tokenizer), "num_labels": 2},
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    BertForSequenceClassification(config).save_pretrained(folder / "dense")
    tokenizer.save_pretrained(folder / "dense")
    rows = [f"{'assert ' * (n % 20 + 1)}statement,{LABELS[n % 2]}" for n in range(40)]
    (folder / "table.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return folder / "dense", folder / "table.csv"


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    """Folder of a tiny language model, and a text."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizers.llama()
    specimen = next(specimen for specimen in ZOO if specimen.name == "llama")
    specimen.build(vocab_size=len(tokenizer), intermediate_size=48).save_pretrained(folder / "dense")
    tokenizer.save_pretrained(folder / "dense")
    (folder / "text.txt").write_text(pydoc_data.topics.topics["assert"] * 12)
    return folder / "dense", folder / "text.txt"


def settings_of(classifier, **cut):
    source, table = classifier
    options = {"method": "cascade", "ratio": 1.05, "calibration_blocks": 2, "max_depths": 1}
    return ModelRunSettings(
        source=str(source),
        cut=cut_of_model(calibration=table, **options | cut),
        sia=SiaSettings(measure=False, follow=False),
    )


def test_a_run_leaves_its_folder_and_goes_on_after_a_stop(classifier, tmp_path, monkeypatch):
    settings, out = settings_of(classifier, recovery_steps=2), tmp_path / "run"
    own = Workbench.cut_and_recover

    def dying(self, *arguments, **options):
        if options["number"] == 3:
            raise KeyboardInterrupt
        return own(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Workbench, "cut_and_recover", dying)
        with pytest.raises(KeyboardInterrupt):
            compress_model(settings, out)
    result = compress_model(settings, out)
    assert [stage["stage"] for stage in result["stages"]] == ["layers", "groups", "channels"]
    assert result["task"] == "labels"
    assert list(result["standings"]) == ["dense", "cut", "dense, trained alike"]
    assert result["ratio"] >= 1.05
    assert [sample["says"].keys() for sample in result["samples"]] == [{"dense", "pruned"}] * 3
    assert result["bundle"] == {"path": "bundle"}
    assert result["no_bundle_because"] is None
    assert json.loads((out / "dense/reference.json").read_text())["parameters"] > 0
    assert len((out / "records.jsonl").read_text().splitlines()) == 3
    page = (out / "report.html").read_text()
    assert "On data that took no part" in page
    assert "accuracy on validation samples" in page
    assert checkpoint.describe(out / "pruned").metadata["task"] == "labels"
    assert not list(out.glob(".*"))
    monkeypatch.setattr(module, "prune_model", lambda *_: pytest.fail("cut again"))
    assert compress_model(settings, out) == result
    with pytest.raises(ConfigError, match=r"other settings \(cut\..*seed: 0 there, 1 asked for\)"):
        compress_model(settings_of(classifier, recovery_steps=2, seed=1), out)


def test_what_cannot_be_leaves_nothing(classifier, tmp_path):
    with pytest.raises(ConfigError, match="a run is judged on data"):
        ModelRunSettings(source="model", cut=cut_of_model(criterion="magnitude", ratio=1.1))
    with pytest.raises(ConfigError, match="predicts no next token"):
        compress_model(settings_of(classifier, task="text"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(read_rows(classifier[1], ("text", "label"))) == 40


def test_a_table_of_one_class_is_refused(classifier, tmp_path):
    source, _ = classifier
    table = tmp_path / "one.csv"
    table.write_text("text,label\n" + "a pump hums,normal\n" * 40)
    with pytest.raises(DataError, match=r"one\.csv has one class only \('normal'\)"):
        compress_model(settings_of((source, table)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_on_another_model_of_the_same_name_is_not_gone_on_with(classifier, tmp_path):
    source, table = classifier
    mine = tmp_path / "dense"
    shutil.copytree(source, mine)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "carry_out", _stopped)
        compress_model(settings_of((mine, table)), out)
    model = BertForSequenceClassification.from_pretrained(mine)
    with torch.no_grad():
        model.classifier.bias.add_(1.0)
    model.save_pretrained(mine)
    with pytest.raises(ConfigError, match="of another model: what the files hold has changed"):
        compress_model(settings_of((mine, table)), out)


def test_a_run_with_another_vocabulary_of_the_same_name_is_not_gone_on_with(speaker, tmp_path):
    kept = tmp_path / "kept.txt"
    shutil.copyfile(speaker[1], kept)
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "carry_out", _stopped)
        compress_model(settings_of(speaker, vocabulary=kept), tmp_path / "run")
    kept.write_text("assert statement\n" * 50)
    with pytest.raises(ConfigError, match="what the files hold has changed"):
        compress_model(settings_of(speaker, vocabulary=kept), tmp_path / "run")


def test_answers_are_no_running_text_for_the_exporter(speaker, tmp_path):
    rows = ({"prompt": "assert " * (number % 5 + 1), "answer": f"statement {number}"} for number in range(60))
    table = tmp_path / "answers.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = compress_model(settings_of((speaker[0], table), task="answers"), tmp_path / "run")
    assert result["task"] == "answers"
    assert result["bundle"] == {"path": "bundle"}


def test_a_text_too_short_for_the_exporter_costs_the_bundle_alone(speaker, tmp_path, monkeypatch):
    monkeypatch.setattr(export_text, "PROMPTS", 10**6)
    result = compress_model(settings_of(speaker), tmp_path / "run")
    assert result["bundle"] is None
    assert "give at least 16000000" in result["no_bundle_because"]


def test_the_vocabulary_can_be_the_whole_cut(speaker, tmp_path):
    nothing = dict.fromkeys(("ratio", "method", "max_depths"))
    result = compress_model(settings_of(speaker, **nothing, vocabulary=speaker[1]), tmp_path / "run")
    assert result["criterion"] is None
    assert result["ratio"] > 1
    assert result["stages"] == []
    assert result["pruned"]["block_parameters"] == result["dense"]["block_parameters"]
    assert result["standings"]["cut"]["over_dense"][0] == pytest.approx(1)
    said = f"it needs {result['bits_per_byte']['saved']:.3f} bits a byte of the same data"
    assert said in (tmp_path / "run/report.html").read_text()


def test_the_target_counts_the_tokens_that_leave(speaker, tmp_path):
    cut = {"vocabulary": speaker[1], "method": "rounds"}
    with pytest.raises(PlanError, match="largest ratio that can be reached is") as refusal:
        compress_model(settings_of(speaker, ratio=50.0, **cut), tmp_path / "run")
    largest = float(str(refusal.value).split("can be reached is ")[1].split(" ")[0])
    blocks_alone = settings_of(speaker, ratio=largest, method="rounds")
    with pytest.raises(PlanError, match=r"cut the vocabulary too \(--vocabulary\)"):
        compress_model(blocks_alone, tmp_path / "run")
    assert compress_model(settings_of(speaker, ratio=largest, **cut), tmp_path / "run")["ratio"] >= largest


def _stopped(*_arguments):
    raise KeyboardInterrupt

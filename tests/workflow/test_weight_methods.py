"""Methods that change weights, from the command line, on models in memory and in whole runs."""

from __future__ import annotations

import json

import pytest
import torch

import secateur
import tiny_tokenizers
from secateur.cli import cut_group
from secateur.cli.app import run
from secateur.core.errors import ConfigError, PlanError
from secateur.core.progress import quiet
from secateur.methods.registered import METHODS
from secateur.models import checkpoint, checkpoint_transformer
from secateur.models.compact.change import WeightChange
from secateur.models.origin import origin_of
from secateur.training.state import digest
from secateur.workflow import compress_model
from secateur.workflow.cut_options import cut_of_model
from token_tasks import CASES

OF_WEIGHTS = [name for name in METHODS.names() if METHODS.get(name).changes == "weights"]


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """Folder of a tiny language model with its tokenizer, and a text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("llama"), tiny_tokenizers.llama()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
        )
        LlamaForCausalLM(config).save_pretrained(folder / "dense")
    tokenizer.save_pretrained(folder / "dense")
    (folder / "text.txt").write_text("assert the statement and raise the exception.\n" * 400)
    return folder


@pytest.fixture
def ran(capfd):
    """Return what runs a command and gives what it wrote, as JSON."""

    def command(*arguments) -> dict:
        assert run([*map(str, arguments), "--json"]) == 0, capfd.readouterr().err
        return json.loads(capfd.readouterr().out)

    return command


def timeless(value):
    """Leave out what may differ from run to run: times, places and the command."""
    volatile = ("seconds", "provenance", "bytes")
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in volatile}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


@pytest.fixture
def refused(capfd):
    """Return what runs a command that is wrong use, and gives what was said."""

    def command(*arguments) -> str:
        assert run([*map(str, arguments)]) == 2
        return " ".join(capfd.readouterr().err.split())

    return command


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_the_help_names_every_method(name):
    assert name in cut_group.METHODS


@pytest.mark.parametrize(
    ("name", "counted", "kind"),
    [
        ("magnitude", "non-zero parameters", "mask"),
        ("int4", "bytes", "bits"),
        ("svd", "parameters", "factors"),
    ],
)
def test_prune_says_what_its_ratio_counts(name, counted, kind, llama, tmp_path, ran):
    told = ran("prune", llama / "dense", "--out", tmp_path / "small", "--method", name, "--ratio", 1.5)
    assert told["counted"] == counted
    assert 1.5 <= told["ratio"] < 1.9
    assert kind in told["not_plain_because"]
    small = secateur.load(tmp_path / "small")
    assert origin_of(small).weights.kinds == (kind,)
    if counted == "bytes":  # what the ratio says is what the disk holds, but for the headers of the file
        assert told["pruned"]["bytes"] * 1.4 < told["dense"]["bytes"]
    secateur.save(small, tmp_path / "again")
    assert digest(secateur.load(tmp_path / "again")) == digest(small)
    assert (tmp_path / "again" / "change.json").is_file()
    with torch.no_grad():
        next(small.model.layers[0].mlp.parameters()).add_(1.0)
    secateur.save(small, tmp_path / "trained")
    assert not (tmp_path / "trained" / "change.json").exists()
    assert digest(secateur.load(tmp_path / "trained")) == digest(small)


def test_changes_of_weights_compose_and_bar_a_cut(llama, tmp_path, ran, refused):
    ran("prune", llama / "dense", "--out", tmp_path / "one", "--method", "magnitude", "--ratio", 1.5)
    ran("prune", tmp_path / "one", "--out", tmp_path / "two", "--method", "int4", "--ratio", 1.3)
    weights = origin_of(secateur.load(tmp_path / "two")).weights
    assert weights.kinds == ("bits", "mask")
    asked = ("--ratio", 1.2, "--criterion", "magnitude")
    told = refused("prune", tmp_path / "two", "--out", tmp_path / "x", *asked)
    assert "compact form (bits, mask)" in told


def test_a_plan_comes_before_a_change_of_weights(llama, tmp_path, ran):
    ran("prune", llama / "dense", "--out", tmp_path / "cut", "--criterion", "magnitude", "--ratio", 1.1)
    ran("prune", tmp_path / "cut", "--out", tmp_path / "small", "--method", "int4", "--ratio", 1.5)
    described = checkpoint.describe(tmp_path / "small")
    assert described.plan.result == checkpoint.describe(tmp_path / "cut").plan.result
    small = secateur.load(tmp_path / "small")
    assert small.config.num_hidden_layers == 2


@pytest.mark.long
def test_a_run_is_judged_and_reported_in_its_own_unit(llama, tmp_path, ran):
    out = tmp_path / "run"
    told = ran(
        *("compress", llama / "dense", "--calibration", llama / "text.txt", "--out", out),
        *("--method", "int4", "--ratio", 1.5, "--no-measure-sia"),
    )
    assert told["counted"] == "bytes"
    assert told["criterion"] is None
    assert told["standings"]["cut"]["over_dense"][0] > 0
    (stage,) = told["stages"]
    assert stage["decisions"]["budget"]["unit"] == "bytes"
    assert all(0 < entry["relative_error"] < 0.05 for entry in stage["decisions"]["matrices"].values())
    assert "fewer bytes, whole model" in (out / "report.html").read_text()


@pytest.mark.long
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_a_run_that_is_stopped_ends_as_if_left_alone(name, llama, tmp_path, ran, monkeypatch):
    """Stopped before the weights change, before the checkpoint gets its name, and before the bundle."""
    asked = ("compress", llama / "dense", "--calibration", llama / "text.txt", "--no-measure-sia")
    asked = (*asked, "--method", name, "--ratio", 1.5)
    expected = ran(*asked, "--out", tmp_path / "alone")

    def dying(*_, **__):
        raise KeyboardInterrupt

    for place, step in (
        (WeightChange, "put_into"),
        (checkpoint_transformer, "write_plan"),
        (compress_model, "export_model"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, dying)
            assert run([*map(str, asked), "--out", str(tmp_path / "killed")]) == 1
        assert not (tmp_path / "killed" / "result.json").exists()
    assert (tmp_path / "killed" / "pruned" / "change.json").exists()
    found = ran(*asked, "--out", tmp_path / "killed")
    assert timeless(found) == timeless(expected)
    for file in ("change.json", "weights.safetensors"):
        left, alone = (tmp_path / folder / "pruned" / file for folder in ("killed", "alone"))
        assert left.read_bytes() == alone.read_bytes()


@pytest.mark.parametrize("case", ["llama-text", "bert-labels", "bert-embeddings"])
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_models_in_memory_take_them_with_and_without_batches(name, case):
    model = CASES[case].model()
    alone = secateur.prune(model, method=name, ratio=1.4)
    by_batches = secateur.prune(model, method=name, ratio=1.4, calibration=CASES[case].task().calibration)
    assert alone.cost.ratio >= 1.4
    assert digest(alone.model) == digest(by_batches.model) != digest(model)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"criterion": "surgeon"}, "--criterion"),
        ({"block_fraction": 0.2, "ratio": None}, "--block-fraction"),
        ({"max_parameters": 1000}, "--max-parameters"),
        ({"memory_mib": 1.0}, "--memory-mib"),
        ({"recovery_steps": 5}, "--recovery-steps"),
        ({"rounds": 2}, "--rounds"),
        ({"uniform": True}, "--uniform"),
        ({"multiple": 8}, "--multiple"),
    ],
)
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_options_of_cuts_are_refused(name, given, said):
    with pytest.raises(ConfigError, match=f"{said}: not for method '{name}'"):
        cut_of_model(**{"method": name, "ratio": 2.0} | given)


def test_a_ratio_is_asked_for_and_streaming_is_refused(llama, tmp_path, refused):
    with pytest.raises(PlanError, match="goes by a ratio"):
        cut_of_model(method="int4")
    options_of_method = ("--ratio", 1.2, "--method", "svd", "--max-memory", "2GiB")
    told = refused("prune", llama / "dense", "--out", tmp_path / "x", *options_of_method)
    assert "takes the whole model into memory" in told

"""A language model of others, cut and saved: with and without data, even and uneven, once and again."""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import secateur
import tiny_tokenizers
from secateur.cli.cut_tables import print_cut
from secateur.core.errors import ConfigError, PlanError, UnsupportedArchitecture
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.structure.counting import block_parameters, parameters
from secateur.workflow import cut_model
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.judge_text import judge_language_model
from secateur.workflow.prune import prune_model
from zoo import ZOO

SPECIMENS = {specimen.name: specimen for specimen in ZOO}
TEXT = pydoc_data.topics.topics["assert"] * 12


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """Folder of a tiny llama with a tokenizer, as others would hand it on."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = tiny_tokenizers.llama()
    SPECIMENS["llama"].build(vocab_size=len(tokenizer), intermediate_size=48).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text(TEXT)
    return path


def prune(source: Path, out: Path, **options):
    with quiet():
        return prune_model(str(source), cut_of_model(**options), out)


def loss(model: torch.nn.Module, folder: Path) -> float:
    ids = torch.tensor([checkpoint.load_tokenizer(folder)(TEXT[:300])["input_ids"][:60]])
    with torch.no_grad():
        return float(model(input_ids=ids, labels=ids).loss)


def test_magnitude_needs_no_data(llama, tmp_path):
    result = prune(llama, tmp_path / "cut", criterion="magnitude", ratio=1.1)
    loaded = secateur.load(tmp_path / "cut")
    found = sum(parameter.numel() for parameter in loaded.parameters())
    dense = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(llama).parameters())
    assert result["pruned"]["parameters"] == found <= dense / 1.1
    assert result["ratio"] == pytest.approx(dense / found)
    assert result["ratio"] < 1.13
    assert result["refit"] is None
    described = checkpoint.describe(tmp_path / "cut")
    assert described.metadata["criterion"] == "magnitude"
    assert described.metadata["provenance"]["versions"]["torch"]
    assert parameters(described.plan) == found
    tokens = checkpoint.load_tokenizer(tmp_path / "cut")("assert", return_tensors="pt")
    assert loaded.generate(tokens["input_ids"], max_new_tokens=3, do_sample=False).shape[1] > 3


def test_equal_widths_make_a_plain_folder(llama, tmp_path):
    result = prune(llama, tmp_path / "cut", criterion="magnitude", block_fraction=0.3, uniform=True)
    assert result["form"] == "plain"
    assert result["loads_with"][0] == "transformers.AutoModelForCausalLM.from_pretrained(folder)"
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "cut")
    assert theirs.config.intermediate_size == result["pruned"]["channels"][0] < 48
    removed = 1 - result["pruned"]["block_parameters"] / result["dense"]["block_parameters"]
    assert 0.3 <= removed < 0.45


def test_units_are_those_asked_for(llama, text, tmp_path):
    dense = bind(AutoModelForCausalLM.from_pretrained(llama)).shape
    found = {
        units: prune(llama, tmp_path / "-".join(units), calibration=text, block_fraction=0.15, units=units)
        for units in (("channel",), ("group",), ("group", "channel"))
    }
    kept = {units: result["pruned"] for units, result in found.items()}
    assert tuple(kept["channel",]["groups"]) == dense.kv_groups_per_layer
    assert tuple(kept["group",]["channels"]) == dense.channels_per_layer
    assert sum(kept["group", "channel"]["channels"]) < sum(dense.channels_per_layer)
    assert checkpoint.describe(tmp_path / "group").metadata["settings"]["units"] == ["group"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"units": ("layer",)}, "unknown units 'layer'; allowed: group, head, channel"),
        ({"units": ()}, "give some of group, head, channel"),
        ({"units": ("channel",), "uniform": True}, "leave --units out"),
    ],
)
def test_units_that_cannot_be_cut_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        cut_of_model(criterion="magnitude", ratio=1.2, **options)


def test_calibration_scores_and_refits(llama, text, tmp_path):
    result = prune(llama, tmp_path / "cut", calibration=text, block_fraction=0.3, seed=1)
    assert result["criterion"] == "surgeon"
    assert result["refit"]["adopted"] > 0
    assert len(result["calibration_sha256"]) == 64
    again = prune(llama, tmp_path / "again", calibration=text, block_fraction=0.3, seed=1)
    assert again["pruned"] == result["pruned"]
    first, second = (secateur.load(tmp_path / name).state_dict() for name in ("cut", "again"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    # the re-fit is what the weights alone do not give
    plan = checkpoint.describe(tmp_path / "cut").plan
    assert plan.result == bind(secateur.load(tmp_path / "cut")).shape


def test_a_general_text_takes_its_share_of_the_blocks(llama, text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(
        "".join(f"Chapter {number}: the ship left the harbour at dawn.\n" for number in range(400))
    )
    options = {"calibration": text, "block_fraction": 0.3, "calibration_blocks": 4}
    own = prune(llama, tmp_path / "own", general_share=0.0, **options)
    mixed = prune(llama, tmp_path / "mixed", general_text=other, **options)
    assert mixed["refit"]["windows"] == 2 * own["refit"]["windows"], "as much of the other text again"
    first, second = (secateur.load(tmp_path / name).state_dict() for name in ("own", "mixed"))
    assert any(
        value.shape != second[name].shape or (value != second[name]).any() for name, value in first.items()
    )
    with pytest.raises(ConfigError, match="into running text, not into the task 'embeddings'"):
        prune(llama, tmp_path / "no", general_share=0.5, task="embeddings", **options)


def test_rounds_score_again_on_what_is_left(llama, text, tmp_path):
    options = {"calibration": text, "block_fraction": 0.3, "multiple": 1, "calibration_blocks": 4}
    once = prune(llama, tmp_path / "once", **options)
    twice = prune(llama, tmp_path / "twice", rounds=2, **options)
    assert [entry["stage"] for entry in twice["stages"]] == ["round 1 of 2", "round 2 of 2"]
    first, second = (entry["after_refit"]["parameters"] for entry in twice["stages"])
    assert first > second
    assert twice["pruned"]["parameters"] == once["pruned"]["parameters"]
    plans = [checkpoint.describe(tmp_path / name).plan for name in ("once", "twice")]
    assert plans[0] != plans[1]


def test_groups_go_only_where_channels_are_not_enough(llama, tmp_path):
    few = prune(llama, tmp_path / "few", criterion="magnitude", block_fraction=0.3)
    assert set(few["pruned"]["groups"]) == {2}
    many = prune(llama, tmp_path / "many", criterion="magnitude", block_fraction=0.75)
    assert min(many["pruned"]["groups"]) == 1


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_recovery_learns_the_text(llama, text, tmp_path, adapter):
    options = {"calibration": text, "block_fraction": 0.4, "calibration_blocks": 4}
    prune(llama, tmp_path / "cut", **options)
    result = prune(llama, tmp_path / "recovered", recovery_steps=30, recovery_adapter=adapter, **options)
    (stage,) = result["stages"]
    assert 0 < stage["recovery_steps"] <= 30
    assert stage["after_recovery"]["perplexity"] < stage["after_refit"]["perplexity"]
    standings = result["standings"]
    assert list(standings) == ["dense", "cut", "dense, trained alike"]
    found = {name: standing["figures"]["perplexity"] for name, standing in standings.items()}
    assert found["dense, trained alike"] < found["dense"]
    assert standings["cut"]["over_dense"][0] == pytest.approx(found["cut"] / found["dense"])
    assert standings["dense"]["elsewhere"] is None
    for name in ("cut", "dense, trained alike"):
        ratio, low, high = standings[name]["elsewhere"]
        assert low <= ratio <= high
        assert ratio != standings[name]["over_dense"][0]
    before, after = (loss(secateur.load(tmp_path / name), tmp_path / name) for name in ("cut", "recovered"))
    assert after < before
    embeddings = [
        secateur.load(tmp_path / name).get_input_embeddings().weight for name in ("cut", "recovered")
    ]
    assert torch.equal(*embeddings) == (adapter == "lora")
    assert not list(tmp_path.glob(".*"))


def test_recovered_models_can_lose_tokens_too(llama, text, tmp_path):
    options = {"calibration": text, "block_fraction": 0.2, "calibration_blocks": 4, "recovery_steps": 2}
    result = prune(llama, tmp_path / "cut", vocabulary=text, recovery_control=False, **options)
    assert list(result["standings"]) == ["dense", "cut"]
    assert result["standings"]["dense"]["over_dense"] is None
    assert result["pruned"]["tokens"] < result["dense"]["tokens"]
    assert loss(secateur.load(tmp_path / "cut"), tmp_path / "cut") > 0


def test_a_model_that_loses_tokens_is_judged_as_it_is_saved(llama, text, tmp_path, capsys):
    few = tmp_path / "few.txt"
    few.write_text("assert\n")
    result = prune(llama, tmp_path / "cut", vocabulary=few, calibration=text)
    assert result["standings"]["cut"]["over_dense"][0] == pytest.approx(1), "of all tokens"
    found = result["bits_per_byte"]
    assert checkpoint.describe(tmp_path / "cut").metadata["bits_per_byte"] == found
    for name, folder in (("dense", llama), ("saved", tmp_path / "cut")):
        judged = judge_language_model(str(folder), text)["bits_per_byte"]
        assert found[name] == pytest.approx(judged, rel=0.05)
    print_cut(result)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"it needs {found['saved']:.3f} bits a byte of the same data" in shown
    unjudged = prune(llama, tmp_path / "tokens", vocabulary=few)
    assert "bits_per_byte" not in unjudged


@pytest.mark.parametrize("specimen", ["bert", "modernbert", "deberta_v3"])
def test_encoders_are_calibrated_on_sentences(specimen, text, tmp_path):
    tokenizer = tiny_tokenizers.bert()
    SPECIMENS[specimen].build(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "dense")
    tokenizer.save_pretrained(tmp_path / "dense")
    result = prune(tmp_path / "dense", tmp_path / "cut", calibration=text, block_fraction=0.3)
    assert result["refit"]["adopted"] > 0
    assert (
        checkpoint.load_tokenizer(tmp_path / "cut")("assert")["input_ids"] == tokenizer("assert")["input_ids"]
    )


def test_the_vocabulary_can_be_the_whole_cut(llama, text, tmp_path):
    result = prune(llama, tmp_path / "cut", vocabulary=text)
    assert result["form"] == "plain"
    assert result["pruned"]["tokens"] < result["dense"]["tokens"]
    assert result["pruned"]["block_parameters"] == result["dense"]["block_parameters"]
    small = secateur.load(tmp_path / "cut")
    dense = AutoModelForCausalLM.from_pretrained(llama)
    tokenizer, own = tiny_tokenizers.llama(), checkpoint.load_tokenizer(tmp_path / "cut")
    kept = list(checkpoint.describe(tmp_path / "cut").plan.tokens)
    line = "assert"
    with torch.no_grad():
        expected = dense(**tokenizer(line, return_tensors="pt")).logits[..., kept]
        found = small(**own(line, return_tensors="pt")).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_ratio_counts_tokens_and_blocks_together(llama, text, tmp_path):
    tokens = prune(llama, tmp_path / "tokens", vocabulary=text)["ratio"]
    result = prune(llama, tmp_path / "cut", vocabulary=text, calibration=text, ratio=tokens * 1.1, multiple=1)
    assert tokens * 1.1 <= result["ratio"] < tokens * 1.13
    shape = bind(secateur.load(tmp_path / "cut")).shape
    assert block_parameters("llama", shape) == result["pruned"]["block_parameters"]


def test_a_cut_model_can_be_cut_again(llama, tmp_path):
    prune(llama, tmp_path / "one", criterion="magnitude", block_fraction=0.2)
    result = prune(tmp_path / "one", tmp_path / "two", criterion="magnitude", block_fraction=0.2)
    first, second = (checkpoint.describe(tmp_path / name) for name in ("one", "two"))
    assert second.plan.shape == first.plan.shape
    assert set(second.plan.layers[0].channels) <= set(first.plan.layers[0].channels)
    assert second.metadata["former"]["settings"]["block_fraction"] == 0.2
    assert result["dense"]["parameters"] == first.metadata["pruned"]["parameters"]
    assert bind(secateur.load(tmp_path / "two")).shape == second.plan.result


def test_a_plain_folder_of_ours_is_a_dense_model_of_its_own(llama, tmp_path):
    prune(llama, tmp_path / "one", criterion="magnitude", block_fraction=0.2, uniform=True)
    prune(tmp_path / "one", tmp_path / "two", criterion="magnitude", block_fraction=0.2)
    first, second = (checkpoint.describe(tmp_path / name) for name in ("one", "two"))
    assert second.plan.shape == first.plan.result
    assert bind(secateur.load(tmp_path / "two")).shape == second.plan.result


@pytest.mark.parametrize("specimen", ["bert", "vit", "whisper", "phi3", "bloom", "modernbert", "mpt"])
def test_every_kind_of_model_is_cut_without_data(specimen, tmp_path):
    SPECIMENS[specimen].build().save_pretrained(tmp_path / "dense")
    result = prune(tmp_path / "dense", tmp_path / "cut", criterion="magnitude", block_fraction=0.3)
    loaded = secateur.load(tmp_path / "cut")
    assert type(loaded).__name__ == SPECIMENS[specimen].model
    assert result["pruned"]["block_parameters"] <= 0.7 * result["dense"]["block_parameters"]


def test_a_ratio_out_of_reach_names_the_largest_in_reach(llama, tmp_path):
    with pytest.raises(PlanError, match="largest ratio that can be reached is") as refusal:
        prune(llama, tmp_path / "cut", criterion="magnitude", ratio=50)
    largest = float(str(refusal.value).split("can be reached is ")[1].split(" ")[0])
    assert prune(llama, tmp_path / "cut", criterion="magnitude", ratio=largest)["ratio"] >= largest
    with pytest.raises(PlanError, match="largest ratio"):
        prune(llama, tmp_path / "more", criterion="magnitude", ratio=largest + 0.01)
    assert not (tmp_path / "more").exists()


def test_a_shape_by_hand_is_kept_or_refused(llama, tmp_path):
    options = {"criterion": "magnitude", "heads": 2, "channels": 8}
    layers = bind(AutoModelForCausalLM.from_pretrained(llama)).shape.n_layers
    kept = prune(llama, tmp_path / "cut", layers=layers, **options)["pruned"]
    assert (kept["layers"], set(kept["heads"]), set(kept["channels"])) == (layers, {2}, {8})
    with pytest.raises(PlanError, match=rf"leaves all {layers} layers; give --layers {layers}, or choose"):
        prune(llama, tmp_path / "less", layers=1, **options)
    with pytest.raises(PlanError, match="the dense model has 48"):
        prune(llama, tmp_path / "more", **options | {"layers": layers, "channels": 49})


def test_a_size_out_of_reach_is_told_before_the_data_are_read(llama, text, tmp_path, monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("nothing is to be read")

    monkeypatch.setattr(cut_model, "task_of", never)
    with pytest.raises(PlanError, match="largest ratio"):
        prune(llama, tmp_path / "cut", calibration=text, ratio=50)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"ratio": 1.2}, ConfigError, "criterion 'surgeon' looks at gradients and needs a text"),
        ({"ratio": 1.2, "criterion": "activation"}, ConfigError, "--criterion magnitude"),
        ({"ratio": 1.2, "criterion": "luck"}, ConfigError, "unknown criterion 'luck'"),
        ({"criterion": "magnitude"}, PlanError, "nothing is to be cut"),
        ({"criterion": "magnitude", "ratio": 1.2, "block_fraction": 0.1}, PlanError, "give one of them"),
        ({"criterion": "magnitude", "ratio": 0.5}, PlanError, "at least 1"),
        ({"criterion": "magnitude", "block_fraction": 1.0}, PlanError, "between 0 and 1"),
        ({"criterion": "magnitude", "ratio": 1.2, "recovery_steps": 5}, ConfigError, "learns from a text"),
        ({"criterion": "magnitude", "ratio": 1.2, "recovery_adapter": "dora"}, ConfigError, "lora, full"),
        ({"criterion": "magnitude", "ratio": 1.2, "uniform": True, "rounds": 2}, ConfigError, "one round"),
        ({"criterion": "magnitude", "ratio": 1.2, "rounds": 0}, ConfigError, "rounds is 0"),
        ({"criterion": "magnitude", "ratio": 1.2, "general_share": 0.5}, ConfigError, "with --calibration"),
        (
            {"criterion": "magnitude", "ratio": 1.2, "general_text": Path("a")},
            ConfigError,
            "--general-text: goes with --calibration",
        ),
        ({"criterion": "magnitude", "ratio": 1.2, "task": "text"}, ConfigError, "--task: goes with --calib"),
        (
            {"criterion": "magnitude", "ratio": 1.2, "recovery_adapter": "lora"},
            ConfigError,
            "--recovery-adapter: goes with --recovery-steps or --recovery-minutes; add one",
        ),
        (
            {"criterion": "magnitude", "ratio": 1.2, "units": ["group", "group"]},
            ConfigError,
            "units are group, group; give some of group, head, channel, each once",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        cut_of_model(**options)


def test_a_text_needs_a_tokenizer_and_a_model_that_reads(text, tmp_path):
    for specimen, said in (("llama", "has no tokenizer"), ("vit", "ViTForImageClassification takes pixel")):
        SPECIMENS[specimen].build().save_pretrained(tmp_path / specimen)
        with pytest.raises(ConfigError, match=said):
            prune(tmp_path / specimen, tmp_path / "cut", calibration=text, block_fraction=0.1)


def test_unknown_families_are_refused_before_any_weight_is_read(tmp_path):
    from transformers import CodeGenConfig, CodeGenForCausalLM

    config = CodeGenConfig(n_embd=16, n_layer=1, n_head=2, rotary_dim=4, vocab_size=20, n_positions=8)
    CodeGenForCausalLM(config).save_pretrained(tmp_path / "dense")
    (tmp_path / "dense" / "model.safetensors").write_bytes(b"")
    with pytest.raises(UnsupportedArchitecture, match="add_architecture"):
        prune(tmp_path / "dense", tmp_path / "cut", criterion="magnitude", block_fraction=0.1)


def test_the_model_itself_and_other_folders_are_never_replaced(llama, tmp_path):
    prune(llama, tmp_path / "one", criterion="magnitude", block_fraction=0.1)
    with pytest.raises(ConfigError, match="is the model itself"):
        prune(tmp_path / "one", tmp_path / "one", criterion="magnitude", block_fraction=0.1)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        prune(llama, tmp_path / "work", criterion="magnitude", block_fraction=0.1)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["thesis.txt"]

"""Causal language models as ONNX with a cache: the checkpoint's logits and greedy tokens at every step."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from transformers import GenerationConfig

from secateur.bundle.archive import pack
from secateur.bundle.causal_session import CausalSession
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import ConfigError, ExportError
from secateur.core.progress import quiet
from secateur.edge.generate import greedy
from secateur.export import causal_bundle, causal_onnx
from secateur.export.causal_bundle import write_causal_bundle
from secateur.export.causal_cache import causal_model
from secateur.export.causal_onnx import export_causal_onnx, share_transposed
from secateur.export.causal_parity import (
    CAUSAL_TOLERANCES,
    CausalTolerance,
    measure_causal_parity,
    reference_generation,
)
from secateur.export.onnx import frozen_copy
from secateur.surgery.apply import apply
from tiny_causal_bundles import NEW_TOKENS, PROMPTS, uneven_llama, write_tiny_causal_bundle
from zoo import ZOO
from zoo_plans import uneven_plan

GPT2 = next(specimen for specimen in ZOO if specimen.name == "gpt2")


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def exported(causal_bundle_folder):
    """The bundle of the tied, uneven Llama, with the model it was made from."""
    return uneven_llama()[0], CausalSession(causal_bundle_folder / "model.onnx")


def whole_logits(model, tokens):
    with torch.no_grad():
        return model(input_ids=torch.tensor(tokens), use_cache=False).logits.numpy()


def test_layers_keep_caches_of_their_own_groups(causal_bundle_folder):
    manifest = verify_bundle(causal_bundle_folder).manifest
    assert manifest.cache_heads == (1, 2)
    assert [(layer.heads, layer.groups, layer.channels) for layer in manifest.layers] == [
        (2, 1, 48),
        (4, 2, 40),
    ]
    assert manifest.vocabulary == 900
    assert manifest.end_tokens == (0,)
    assert manifest.tokenizer_files == ("tokenizer.json", "tokenizer_config.json")
    assert set(manifest.files) == {"model.onnx", "golden.npz", *manifest.tokenizer_files}


@pytest.mark.parametrize(
    ("named", "end"), [(50_256, ()), ([2, 50_256], (2,)), (0, (0,)), (-1, ()), (None, ())]
)
def test_what_the_vocabulary_lacks_ends_no_text(named, end):
    model = frozen_copy(GPT2.build())
    model.generation_config.eos_token_id = named
    assert causal_model(model).end_tokens == end


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("pieces", [(9,), (1, 1, 7), (4, 1, 1, 1, 2), (1,) * 9])
def test_any_pieces_give_the_logits_of_a_whole_pass(exported, batch, pieces):
    model, session = exported
    tokens = np.random.default_rng(batch).integers(0, 900, (batch, sum(pieces)))
    cache, found = session.start(batch), []
    for piece in np.split(tokens, np.cumsum(pieces)[:-1], axis=1):
        logits, cache = session.read(piece, cache)
        found.append(logits)
    assert cache.tokens == sum(pieces)
    np.testing.assert_allclose(np.concatenate(found, axis=1), whole_logits(model, tokens), atol=2e-5)


def test_padding_on_the_left_changes_nothing(exported):
    model, session = exported
    tokens = np.random.default_rng(5).integers(0, 900, (2, 8))
    mask = np.ones_like(tokens)
    mask[0, :5] = 0
    logits, cache = session.read(tokens[:, :7], session.start(2), attention_mask=mask[:, :7])
    step, _ = session.read(tokens[:, 7:], cache)
    expected = whole_logits(model, tokens[:1, 5:])[0]
    np.testing.assert_allclose(logits[0, 5:], expected[:2], atol=2e-5)
    np.testing.assert_allclose(step[0, 0], expected[2], atol=2e-5)
    np.testing.assert_allclose(step[1, 0], whole_logits(model, tokens[1:])[0, -1], atol=2e-5)


def test_greedy_tokens_are_those_of_generate(exported):
    model, session = exported
    settings = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
    model.generation_config = settings
    for prompt in PROMPTS:
        expected = model.generate(torch.tensor([prompt]))[0, len(prompt) :].tolist()
        assert len(expected) == NEW_TOKENS
        assert list(greedy(session, [prompt], NEW_TOKENS)[0].tokens) == expected


def test_the_manifest_records_parity_of_prompts_and_steps(causal_bundle_folder):
    parity = json.loads((causal_bundle_folder / "manifest.json").read_text())["parity"]
    assert 0 < parity["prefill_max_abs_diff"] < 1e-4
    assert 0 < parity["decode_max_abs_diff"] < 1e-4
    assert parity["agreement"] == 1
    assert parity["greedy_tokens"] == parity["greedy_of"] == len(PROMPTS) * NEW_TOKENS
    assert parity["tokens"] == sum(len(prompt) + NEW_TOKENS - 1 for prompt in PROMPTS)


def test_a_graph_of_another_model_is_refused_with_its_differences(exported, causal_bundle_folder):
    model, session = exported
    other = frozen_copy(model)
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight[0, 0] += 0.05
    references = reference_generation(causal_model(other), PROMPTS, new_tokens=6)
    with pytest.raises(ExportError, match=r"logits differ by up to .* on prompts .* token by token"):
        measure_causal_parity(session, references, tolerance=CAUSAL_TOLERANCES["float32"])
    loose = CausalTolerance(logits=10.0, golden=1.0, agreement=0.0, greedy=False)
    assert measure_causal_parity(session, references, tolerance=loose).max_abs_diff > 1e-3


def test_a_step_that_forgets_the_past_is_refused(exported, monkeypatch):
    model, session = exported
    references = reference_generation(causal_model(frozen_copy(model)), PROMPTS, new_tokens=6)
    read = CausalSession.read

    def forgetful(self, tokens, cache, *, attention_mask=None):
        return read(self, tokens, self.start(len(tokens)), attention_mask=attention_mask)

    monkeypatch.setattr(CausalSession, "read", forgetful)
    with pytest.raises(ExportError, match="token by token"):
        measure_causal_parity(session, references, tolerance=CAUSAL_TOLERANCES["float32"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("precision", "scheme", "size", "tables", "products"),
    [
        ("int8", "weights", 0.7, [[900, 1, 32], [900, 1]], 15),
        # the embedding, most of this tiny model, stays in float32
        pytest.param("int8", "dynamic", 0.95, [[900, 32]], 14, marks=pytest.mark.slow),
        ("int4", "weights", 0.7, [[900, 1, 32], [900, 1]], 15),
        pytest.param("bfloat16", "weights", 0.7, [[900, 32]], 0, marks=pytest.mark.slow),
    ],
)
def test_fewer_bits_are_smaller_share_the_tied_matrix_and_are_measured(
    precision, scheme, size, tables, products, tmp_path
):
    info = write_tiny_causal_bundle(tmp_path / "out", precision=precision, scheme=scheme)
    manifest = info.manifest
    assert manifest.precision == precision
    assert manifest.quantisation.scheme == scheme
    assert info.graph_bytes < size * info.float32_graph_bytes
    assert 0.5 <= manifest.parity.agreement <= 1
    assert 1e-3 < manifest.parity.max_abs_diff <= manifest.parity.tolerance
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert [list(tensor.dims) for tensor in graph.initializer if 900 in tensor.dims] == tables
    found = [node for node in graph.node if node.op_type in ("MatMulInteger", "MatMulNBits")]
    assert len(found) == products
    verify_bundle(tmp_path / "out")


def test_a_bundle_is_replaced_and_anything_else_is_left_alone(causal_bundle_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigError, match="holds something else"):
        write_tiny_causal_bundle(tmp_path / "out")
    assert [path.name for path in tmp_path.glob("out/*")] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["bert", "vit", "bart", "whisper"])
def test_what_predicts_no_next_token_is_refused_by_name(name, tmp_path):
    specimen = next(entry for entry in ZOO if entry.name == name)
    with pytest.raises(ConfigError, match=f"{specimen.model} predicts no next token"):
        write_causal_bundle(specimen.build(), PROMPTS, tmp_path / "out", name="x")
    assert not list(tmp_path.iterdir())


def test_positions_that_change_as_a_text_grows_are_refused():
    rotary = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = next(one for one in ZOO if one.name == "llama").build(rope_parameters=rotary)
    with pytest.raises(ExportError, match=r"rotary positions of the type 'dynamic'.*Set another rope_type"):
        causal_model(model)


def test_prompts_that_do_not_fit_are_refused(tmp_path):
    for prompts, new_tokens in (([[]], 4), ([[1] * 40], 25)):
        with pytest.raises(ConfigError, match="64 positions"):
            write_causal_bundle(uneven_llama()[0], prompts, tmp_path / "out", name="x", new_tokens=new_tokens)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    def broken(causal, path):
        path.write_bytes(b"half a graph")
        raise ExportError("the exporter gave up")

    monkeypatch.setattr(causal_bundle, "export_causal_onnx", broken)
    with pytest.raises(ExportError, match="gave up"):
        write_tiny_causal_bundle(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_large_weights_lie_beside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(causal_onnx, "LARGEST_FILE", 1000)
    model = apply(GPT2.build(), uneven_plan(GPT2.build()))
    info = write_causal_bundle(model, [[5, 6, 7], [9]], tmp_path / "large", name="large", new_tokens=8)
    assert set(info.manifest.files) == {"model.onnx", "model.onnx.data", "golden.npz"}
    assert info.graph_bytes == info.float32_graph_bytes
    assert verify_bundle(tmp_path / "large").golden_max_abs_diff == 0
    pack(tmp_path / "large", tmp_path / "large.sct")
    with pytest.raises(ExportError, match="from a folder only; unpack it"):
        verify_bundle(tmp_path / "large.sct")
    with pytest.raises(ExportError, match="only a graph in one file is quantised"):
        write_causal_bundle(model, [[5]], tmp_path / "int8", name="x", precision="int8", new_tokens=4)
    assert not (tmp_path / "int8").exists()


def test_only_transposes_are_shared(tmp_path):
    draw = np.random.default_rng(0)
    table = draw.standard_normal((6, 4)).astype(np.float32)
    arrays = {"a": table, "b": table.T.copy(), "c": table.T + 1, "d": table.copy(), "x": np.eye(1, 4)}
    tensors = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    outputs = [
        onnx.helper.make_tensor_value_info(f"{name}o", onnx.TensorProto.FLOAT, array.shape)
        for name, array in arrays.items()
    ]
    nodes = [onnx.helper.make_node("Identity", [name], [f"{name}o"]) for name in arrays]
    graph = onnx.helper.make_graph(nodes, "g", [], outputs, tensors)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "g.onnx")
    share_transposed(tmp_path / "g.onnx")
    found = onnx.load(tmp_path / "g.onnx")
    assert [tensor.name for tensor in found.graph.initializer] == ["a", "c", "d", "x"]
    results = onnx.reference.ReferenceEvaluator(found).run(None, {})
    for result, array in zip(results, arrays.values(), strict=True):
        np.testing.assert_array_equal(result, array)


def test_an_untied_head_exports_too(tmp_path):
    causal = causal_model(frozen_copy(uneven_llama(tied=False)[0]))
    export_causal_onnx(causal, tmp_path / "untied.onnx")
    session = CausalSession(tmp_path / "untied.onnx")
    tokens = np.array([[4, 5, 6, 7]])
    logits, _ = session.read(tokens, session.start())
    np.testing.assert_allclose(logits, whole_logits(causal.model, tokens), atol=2e-5)


def test_a_prompt_of_the_padding_token_is_read_as_any_other(exported):
    """Token 0 is a word in many vocabularies; `generate` masks it where no attention mask says otherwise."""
    model, session = exported
    references = reference_generation(causal_model(model), [[0, 0, 5, 0], [7, 0, 0]], new_tokens=4)
    for reference in references:
        tokens = list(reference.prompt)
        for token in reference.tokens:
            assert token == whole_logits(model, [tokens])[0, -1].argmax()
            tokens.append(token)
    record = measure_causal_parity(session, references, tolerance=CAUSAL_TOLERANCES["float32"])
    assert record.greedy_tokens == record.greedy_of == 8

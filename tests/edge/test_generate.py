"""Generation on the device: the golden tokens, batches, limits, and nothing loaded that is not whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from secateur.bundle.archive import pack, sign_bundle
from secateur.bundle.signature import create_key
from secateur.core.errors import CheckpointError, ConfigError, DataError, ExportError, MeasurementError
from secateur.core.files import sha256_of
from secateur.edge import Runtime
from secateur.edge.generate import TextRuntime, generate


@pytest.fixture(scope="module")
def runtime(causal_bundle_folder):
    return TextRuntime(causal_bundle_folder)


@pytest.fixture(scope="module")
def golden(causal_bundle_folder):
    with np.load(causal_bundle_folder / "golden.npz") as stored:
        return stored["prompt"].tolist(), tuple(stored["tokens"].tolist())


@pytest.fixture
def copied(causal_bundle_folder, tmp_path):
    return shutil.copytree(causal_bundle_folder, tmp_path / "bundle")


def test_the_golden_prompt_is_continued_as_on_the_exporting_machine(runtime, golden, causal_bundle_folder):
    prompt, tokens = golden
    found = runtime.generate(prompt, len(tokens), end_tokens=())
    assert found.tokens == tokens
    assert found.stopped_by == "length"
    assert runtime.golden_max_abs_diff <= runtime.manifest.golden.tolerance
    assert generate(causal_bundle_folder, prompt, 3).tokens == tokens[:3]


def test_rows_of_a_batch_are_what_each_is_alone(runtime):
    prompts = [[5, 200, 7, 400, 33, 77], [1], [899, 450, 12]]
    alone = [runtime.generate(prompt, 20, end_tokens=()).tokens for prompt in prompts]
    together = runtime.generate_batch(prompts, 20, end_tokens=())
    assert [found.tokens for found in together] == alone
    assert len({*alone}) == 3


def test_a_row_stops_at_its_end_token_and_the_others_go_on(runtime, golden):
    prompt, tokens = golden
    end = tokens[4]
    first = tokens.index(end)
    other = [899, 450, 12]
    free = runtime.generate(other, 12, end_tokens=())
    assert end not in free.tokens
    stopped, went_on = runtime.generate_batch([prompt, other], 12, end_tokens=[end])
    assert stopped.tokens == tokens[: first + 1]
    assert stopped.stopped_by == "end token"
    assert went_on.tokens == free.tokens
    assert went_on.stopped_by == "length"


def test_generation_ends_where_the_positions_end(runtime, golden):
    prompt, _ = golden
    found = runtime.generate(prompt, 1000, end_tokens=())
    assert found.stopped_by == "context"
    assert len(prompt) + len(found.tokens) == runtime.manifest.context_length


def test_no_prompt_is_refused(runtime):
    with pytest.raises(DataError, match="no prompt"):
        runtime.generate_batch([], 4)


@pytest.mark.parametrize(
    ("prompt", "count", "kind", "said"),
    [
        ([], 4, DataError, "empty prompt"),
        ([3, -1], 4, DataError, r"holds -1; tokens of this model are 0 to 899"),
        ([3, 1.5], 4, DataError, r"holds 1\.5; tokens"),
        ([3, float("nan")], 4, DataError, r"holds nan; tokens"),
        (["3"], 4, DataError, r"holds '3'; tokens"),
        ([900], 4, DataError, "holds 900"),
        ([1] * 64, 4, DataError, "64 tokens; the model has 64 positions"),
        ([1], 0, ConfigError, "at least 1"),
    ],
)
def test_what_cannot_be_continued_is_refused(runtime, prompt, count, kind, said):
    with pytest.raises(kind, match=said):
        runtime.generate(prompt, count)


def test_logits_that_are_not_finite_are_never_a_token(causal_bundle_folder):
    runtime = TextRuntime(causal_bundle_folder)
    read = runtime._session.read

    def spoil(tokens, cache, **more):
        logits, cache = read(tokens, cache, **more)
        if cache.tokens > 5:
            logits = np.where(np.arange(900) == 7, np.nan, logits)
        return logits, cache

    runtime._session.read = spoil
    with pytest.raises(MeasurementError, match="no finite numbers for token 3"):
        runtime.generate([1, 2, 3], 10, end_tokens=())


def test_an_archive_signed_by_a_trusted_key_generates_the_same(copied, golden, tmp_path):
    prompt, tokens = golden
    create_key(tmp_path / "own.pem", tmp_path / "own.pub.pem")
    sign_bundle(copied, tmp_path / "own.pem")
    pack(copied, tmp_path / "bundle.sct")
    runtime = TextRuntime(tmp_path / "bundle.sct", trusted=[tmp_path / "own.pub.pem"])
    assert runtime.signature.state == "trusted"
    assert runtime.generate(prompt, 5, end_tokens=()).tokens == tokens[:5]
    with pytest.raises(CheckpointError, match="not signed"):
        (copied / "signature.json").unlink()
        TextRuntime(copied, trusted=[tmp_path / "own.pub.pem"])


def test_altered_and_missing_files_are_refused(copied):
    content = bytearray((copied / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        TextRuntime(copied)
    (copied / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"missing|checksum"):
        TextRuntime(copied)


def _rewrite(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _replace_golden(folder, **arrays):
    with np.load(folder / "golden.npz") as stored:
        golden = {**stored, **arrays}
    np.savez(folder / "golden.npz", **golden)
    record = {
        "sha256": sha256_of(folder / "golden.npz"),
        "bytes": (folder / "golden.npz").stat().st_size,
    }
    _rewrite(folder, lambda manifest: manifest["files"].update({"golden.npz": record}))


def test_other_golden_logits_or_tokens_are_refused(copied, golden):
    with np.load(copied / "golden.npz") as stored:
        logits, tokens = stored["logits"], stored["tokens"]
    _replace_golden(copied, logits=logits + 0.1)
    with pytest.raises(ExportError, match="differs from the golden logits by 1"):
        TextRuntime(copied)
    other = tokens.copy()
    other[-1] = (other[-1] + 1) % 900
    _replace_golden(copied, logits=logits, tokens=other)
    with pytest.raises(ExportError, match=r"prefers token \d+ to the golden token \d+ at step 31"):
        TextRuntime(copied)
    _replace_golden(copied, tokens=tokens[:-1])
    with pytest.raises(CheckpointError, match="of shape"):
        TextRuntime(copied)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "schema version 2.*Update secateur"),
        ({"kind": "image-lm"}, "kind 'image-lm'.*Update secateur"),
        ({"surprise": 1}, "surprise"),
        ({"cache_heads": [1]}, "cache_heads needs one entry a layer"),
        ({"tokenizer_files": ["vocab.txt"]}, "does not list vocab.txt"),
    ],
)
def test_impossible_manifests_are_refused_by_name(copied, change, said):
    _rewrite(copied, lambda manifest: manifest.update(change))
    with pytest.raises(CheckpointError, match=said):
        TextRuntime(copied)


def test_parity_worse_than_its_tolerance_is_refused(copied):
    _rewrite(copied, lambda manifest: manifest["parity"].update({"greedy_tokens": 5}))
    with pytest.raises(CheckpointError, match="parity"):
        TextRuntime(copied)


def test_each_runtime_refuses_the_other_kind_by_name(bundle_folder, causal_bundle_folder):
    with pytest.raises(ConfigError, match="holds a Diagnoser, which generates no text"):
        TextRuntime(bundle_folder)
    with pytest.raises(ConfigError, match="causal language model, which diagnoses nothing"):
        Runtime(causal_bundle_folder)


def test_needs_no_torch(causal_bundle_folder):
    program = (
        "import sys; from secateur.edge.generate import generate; "
        f"assert len(generate({str(causal_bundle_folder)!r}, [5, 6], 4).tokens) == 4; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'onnx', 'tokenizers')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

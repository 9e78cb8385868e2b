"""The runtime: equal to the graph, window by window, and nothing loaded that is not whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from secateur.bundle.archive import pack, sign_bundle
from secateur.bundle.signature import create_key
from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.core.files import sha256_of
from secateur.edge import Runtime
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import ArraySource
from secateur.signals.resample import resample

ORDERS = FaultOrders(bpfo=3.58, bpfi=5.42, bsf2=4.71, ftf=0.398)


@pytest.fixture(scope="module")
def runtime(bundle_folder):
    return Runtime(bundle_folder)


@pytest.fixture(scope="module")
def waveform():
    return np.random.default_rng(1).standard_normal(512 * 37 + 100).astype(np.float32)


def test_golden_windows_give_golden_logits(runtime, bundle_folder):
    with np.load(bundle_folder / "golden.npz") as golden:
        for row in range(len(golden["logits"])):
            orders = golden["fault_orders"][row]
            logits, probabilities = runtime.predict(
                golden["waveform"][row : row + 1],
                shaft_rate_hz=float(golden["shaft_rate_hz"][row]),
                fault_orders=FaultOrders(
                    bpfo=float(orders[0]), bpfi=float(orders[1]), bsf2=float(orders[2]), ftf=float(orders[3])
                ),
            )
            np.testing.assert_allclose(logits, golden["logits"][row : row + 1], atol=1e-4)
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_stream_equals_windows_one_by_one(runtime, waveform):
    parts = list(
        runtime.stream(
            ArraySource(waveform[None]),
            sampling_rate_hz=12_000.0,
            shaft_rate_hz=29.9,
            fault_orders=ORDERS,
            hop_s=256 / 12_000,
        )
    )
    starts = np.concatenate([part.starts_s for part in parts])
    found = np.concatenate([part.probabilities for part in parts])
    assert len(found) == (len(waveform) - 512) // 256 + 1
    np.testing.assert_allclose(starts, np.arange(len(found)) * 256 / 12_000)
    for number in (0, 15, 16, 33, len(found) - 1):
        window = waveform[number * 256 : number * 256 + 512]
        _, expected = runtime.predict(window[None], shaft_rate_hz=29.9, fault_orders=ORDERS)
        np.testing.assert_allclose(found[number], expected[0], atol=1e-5)


def test_burst_is_the_mean_of_its_windows(runtime, waveform):
    found = runtime.diagnose(waveform, sampling_rate_hz=12_000.0, shaft_rate_hz=29.9)
    windows = waveform[: 37 * 512].reshape(37, 512)
    _, expected = runtime.predict(windows, shaft_rate_hz=29.9)
    np.testing.assert_allclose(list(found.probabilities.values()), expected.mean(axis=0), atol=1e-5)
    assert found.label == runtime.labels[int(expected.mean(axis=0).argmax())]
    assert (found.windows, found.model) == (37, "tiny")
    assert found.version == runtime.version


def test_faster_recordings_are_resampled(runtime, waveform):
    fast = resample(waveform, 12_000.0, 48_000.0)
    slow = resample(fast, 48_000.0, 12_000.0)
    found = runtime.diagnose(fast, sampling_rate_hz=48_000.0)
    expected = runtime.diagnose(slow, sampling_rate_hz=12_000.0)
    np.testing.assert_allclose(
        list(found.probabilities.values()), list(expected.probabilities.values()), atol=1e-5
    )


def test_unusable_windows_are_marked_and_passed_over(runtime, waveform):
    damaged = waveform.copy()
    damaged[3 * 512 + 5] = np.nan
    damaged[7 * 512 : 8 * 512] = 0.25
    damaged[9 * 512] = np.inf
    parts = list(runtime.stream(ArraySource(damaged[None]), sampling_rate_hz=12_000.0))
    usability = [entry for part in parts for entry in part.usability]
    found = np.concatenate([part.probabilities for part in parts])
    expected = ["usable"] * 37
    expected[3] = expected[9] = "not finite"
    expected[7] = "flat"
    assert usability == expected
    assert np.isnan(found[[3, 7, 9]]).all()
    assert np.isfinite(np.delete(found, [3, 7, 9], axis=0)).all()
    with pytest.raises(DataError, match=r"not finite in the window from 0\.128 s"):
        runtime.diagnose(damaged, sampling_rate_hz=12_000.0)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(0), 12_000.0, "0 samples"),
        (np.ones(511), 12_000.0, "one window needs 512"),
        (np.ones((2, 600)), 12_000.0, "one channel"),
        (np.ones(600), 12_000.0, "flat"),
        (np.random.default_rng(0).standard_normal(600), 6_000.0, "12000 Hz upwards only"),
        (np.random.default_rng(0).standard_normal(600), float("nan"), "upwards only"),
    ],
)
def test_unusable_bursts_are_refused(runtime, waveform, rate, message):
    with pytest.raises(DataError, match=message):
        runtime.diagnose(waveform, sampling_rate_hz=rate)


def test_wrong_windows_channels_and_threads_are_refused(runtime, bundle_folder):
    with pytest.raises(DataError, match=r"\(n, 512\)"):
        runtime.predict(np.zeros((1, 511), dtype=np.float32))
    with pytest.raises(DataError, match="NaN"):
        runtime.predict(np.full((1, 512), np.nan, dtype=np.float32))
    with pytest.raises(DataError, match="channels 0 to 0"):
        list(runtime.stream(ArraySource(np.zeros((1, 600))), sampling_rate_hz=12_000.0, channel=1))
    with pytest.raises(ConfigError, match="hop"):
        list(runtime.stream(ArraySource(np.zeros((1, 600))), sampling_rate_hz=12_000.0, hop_s=0.0))
    with pytest.raises(ConfigError, match="threads"):
        Runtime(bundle_folder, threads=0)


def test_archive_and_folder_are_the_same_model(runtime, bundle_folder, waveform, tmp_path):
    pack(bundle_folder, tmp_path / "bundle.sct")
    packed = Runtime(tmp_path / "bundle.sct")
    assert packed.version == runtime.version
    expected = runtime.diagnose(waveform, sampling_rate_hz=12_000.0).probabilities
    assert packed.diagnose(waveform, sampling_rate_hz=12_000.0).probabilities == expected


def altered_manifest(bundle_folder, folder, **changes):
    shutil.copytree(bundle_folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return folder


def test_bundle_without_leave_to_resample_refuses_other_rates(bundle_folder, tmp_path, waveform):
    for number, rule in enumerate((None, {"allowed": False, "lowest_hz": 1.0})):
        folder = altered_manifest(bundle_folder, tmp_path / str(number), resampling=rule)
        strict = Runtime(folder)
        assert strict.diagnose(waveform, sampling_rate_hz=12_000.0).windows == 37
        with pytest.raises(DataError, match="does not allow resampling"):
            strict.diagnose(waveform, sampling_rate_hz=48_000.0)


def test_every_flipped_byte_is_refused(bundle_folder, tmp_path):
    for name in ("model.onnx", "golden.npz"):
        folder = shutil.copytree(bundle_folder, tmp_path / name)
        content = bytearray((folder / name).read_bytes())
        for place in np.linspace(0, len(content) - 1, 25).astype(int):
            content[place] ^= 1
            (folder / name).write_bytes(content)
            with pytest.raises(CheckpointError, match="checksum"):
                Runtime(folder)
            content[place] ^= 1


def test_a_graph_that_computes_something_else_is_refused_at_start(bundle_folder, tmp_path):
    folder = shutil.copytree(bundle_folder, tmp_path / "bundle")
    with np.load(folder / "golden.npz") as stored:
        golden = dict(stored)
    golden["logits"] = golden["logits"] + 0.01
    np.savez(folder / "golden.npz", **golden)
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / "golden.npz"
    manifest["files"]["golden.npz"] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match="differs from the golden logits"):
        Runtime(folder)


def test_newer_schema_and_missing_signature_are_refused(bundle_folder, tmp_path):
    with pytest.raises(CheckpointError, match="Update secateur"):
        Runtime(altered_manifest(bundle_folder, tmp_path / "newer", schema_version=99))
    create_key(tmp_path / "own.pem", tmp_path / "own.pub.pem")
    with pytest.raises(CheckpointError, match="not signed"):
        Runtime(bundle_folder, trusted=[tmp_path / "own.pub.pem"])
    folder = shutil.copytree(bundle_folder, tmp_path / "signed")
    sign_bundle(folder, tmp_path / "own.pem")
    assert Runtime(folder, trusted=[tmp_path / "own.pub.pem"]).signature.state == "trusted"


def test_neither_torch_nor_signal_processing_libraries_are_loaded(bundle_folder):
    program = f"""
import sys
import numpy as np
from secateur.edge import Runtime
waveform = np.random.default_rng(0).standard_normal(4096)
Runtime({str(bundle_folder)!r}).diagnose(waveform, sampling_rate_hz=48000.0)
heavy = {{"torch", "transformers", "onnx", "sklearn", "scipy", "matplotlib", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)

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
from secateur.edge.judgement import calibrated
from secateur.signals.bearings.catalogue import known_bearing
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


def test_a_speed_is_held_against_the_lines_of_the_shaft(runtime):
    true_hz, time_s = 29.53, np.arange(120_000) / 12_000
    lines = sum(np.sin(2 * np.pi * multiple * true_hz * time_s) for multiple in (1, 2, 3, 5))
    noise = np.random.default_rng(3).standard_normal(time_s.size)
    waveform = (noise + 0.2 * lines).astype(np.float32)
    told = {
        rate_hz: runtime.diagnose(waveform, sampling_rate_hz=12000, shaft_rate_hz=rate_hz)
        for rate_hz in (0.0, true_hz, 0.978 * true_hz, 0.96 * true_hz)
    }
    unknown, true, beside, far = told.values()
    assert (unknown.shaft_rate_hz, true.shaft_rate_hz) == (0.0, true_hz)
    assert beside.shaft_rate_hz == pytest.approx(true_hz, rel=1e-3)
    assert beside.probabilities == pytest.approx(true.probabilities, abs=1e-3)
    assert far.shaft_rate_hz == 0.96 * true_hz
    assert any("the speed is doubtful: the lines point to" in reason for reason in far.judgement.reasons)
    short = runtime.diagnose(waveform[:16384], sampling_rate_hz=12000, shaft_rate_hz=0.978 * true_hz)
    assert short.shaft_rate_hz == 0.978 * true_hz


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
        (np.ones(358), 12_000.0, "lasts 0.0298 s.*needs 512 .0.0427 s., and 359 of them .0.0299 s. must"),
        (np.ones((2, 600)), 12_000.0, "one channel"),
        (np.ones(600), 12_000.0, "flat"),
        (np.random.default_rng(0).standard_normal(600), 6_000.0, "12000 Hz upwards only"),
        (np.random.default_rng(0).standard_normal(600), 12.0, "upwards only"),
        (np.random.default_rng(0).standard_normal(600), float("nan"), "samples a second"),
        (np.random.default_rng(0).standard_normal(600), float("inf"), "samples a second"),
        (np.random.default_rng(0).standard_normal(600), -12_000.0, "samples a second"),
        (np.random.default_rng(0).standard_normal(600) + 1j, 12_000.0, "type complex128"),
        (np.array(["0.1"] * 600), 12_000.0, "type <U3"),
        (np.ma.masked_greater(np.linspace(0, 1, 600), 0.9), 12_000.0, "60 samples are masked"),
    ],
)
def test_unusable_bursts_are_refused(runtime, waveform, rate, message):
    with pytest.raises(DataError, match=message):
        runtime.diagnose(waveform, sampling_rate_hz=rate)


@pytest.mark.parametrize("there", [359, 400, 511])
def test_the_end_of_what_is_a_little_too_short_is_mirrored(runtime, there):
    waveform = np.random.default_rng(0).standard_normal(there).astype(np.float32)
    filled = np.concatenate([waveform, waveform[::-1][: 512 - there]])
    running = {"shaft_rate_hz": 30.0, "fault_orders": known_bearing("6205")}
    (part,) = runtime.stream(ArraySource(waveform[None]), sampling_rate_hz=12_000.0, **running)
    assert part.usability == ("usable",)
    assert part.probabilities == pytest.approx(
        calibrated(runtime.predict(filled[None], **running)[0], runtime.manifest.abstention)[0], abs=1e-6
    )
    assert runtime.diagnose(waveform, sampling_rate_hz=12_000.0, **running).windows == 1


def test_wrong_windows_channels_and_threads_are_refused(runtime, bundle_folder):
    with pytest.raises(DataError, match=r"\(n, 512\)"):
        runtime.predict(np.zeros((1, 511), dtype=np.float32))
    with pytest.raises(DataError, match="NaN"):
        runtime.predict(np.full((1, 512), np.nan, dtype=np.float32))
    logits, probabilities = runtime.predict(np.zeros((0, 512), dtype=np.float32))
    assert logits.shape == probabilities.shape == (0, 3)
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


def broken(how):
    """What broken sensors and converters give, 8 windows of which the fourth is bad."""
    samples = np.random.default_rng(2).standard_normal(8 * 512)
    window = samples[3 * 512 : 4 * 512]
    if how == "clipped":
        window[:] = np.clip(window, -1.5, 1.5)
    elif how == "clipped on one side":
        window[:] = np.minimum(np.round(window * 100), 150)
    elif how == "stuck":
        window[:] = np.where(window > 0, 0.25, 0.5)
    elif how == "tiny":
        window *= 1e-24
    elif how == "huge":
        window *= 1e20
    elif how == "beyond float32":
        window[7] = 1e300
    else:
        window[7] = {"NaN": np.nan, "infinite": -np.inf, "1e30": 1e30, "a spike": 1e4}[how]
    return samples


@pytest.mark.parametrize(
    ("how", "reason"),
    {
        "1e30": "out of range",
        "huge": "out of range",
        "tiny": "out of range",
        "beyond float32": "not finite",
        "NaN": "not finite",
        "infinite": "not finite",
        "a spike": "one spike",
        "stuck": "stuck",
        "clipped": "clipped",
        "clipped on one side": "clipped",
    }.items(),
)
def test_a_broken_sensor_is_never_a_class(runtime, how, reason):
    samples = broken(how)
    with np.errstate(over="ignore"):
        (found,) = runtime.stream(ArraySource(samples.astype(np.float32)[None]), sampling_rate_hz=12_000.0)
    assert found.usability == ("usable",) * 3 + (reason,) + ("usable",) * 4
    assert found.usable.tolist() == [True] * 3 + [False] + [True] * 4
    assert found.labels[3] is None
    assert set(found.labels[:3]) <= set(runtime.labels)
    assert np.isnan(found.probabilities[3]).all()
    with pytest.raises(DataError, match=rf"is {reason} in the window from 0\.128 s"):
        runtime.diagnose(samples, sampling_rate_hz=12_000.0)
    with pytest.raises(DataError, match=f"window 3 is not usable, {reason}"):
        runtime.predict(samples.reshape(8, 512))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 9.81, 1e9])
def test_any_unit_of_a_sound_sensor_is_usable(runtime, waveform, scale):
    rough = np.round(waveform * 20)  # a converter of few bits
    steps = np.arange(37 * 512)
    tone = np.sin(2 * np.pi * steps / 16) + np.sin(2 * np.pi * steps / 1000)
    for samples in (waveform, rough, tone):
        found = runtime.diagnose(scale * samples, sampling_rate_hz=12_000.0)
        assert all(np.isfinite(value) for value in found.probabilities.values())


@pytest.mark.parametrize("spoiled", ["logits", "probabilities"])
def test_an_output_that_is_not_finite_is_never_a_class(bundle_folder, waveform, spoiled):
    runtime = Runtime(bundle_folder)
    run = runtime._session.run

    def spoil(windows):
        outputs = dict(zip(("logits", "probabilities"), map(np.array, run(windows)), strict=True))
        outputs[spoiled][1, 0] = np.nan
        return outputs["logits"], outputs["probabilities"]

    runtime._session.run = spoil
    (found,) = runtime.stream(ArraySource(waveform[None, : 3 * 512]), sampling_rate_hz=12_000.0)
    assert found.usability == ("usable", "output not finite", "usable")
    assert found.labels[1] is None
    with pytest.raises(DataError, match="output not finite"):
        runtime.diagnose(waveform[: 3 * 512], sampling_rate_hz=12_000.0)
    with pytest.raises(DataError, match="output not finite"):
        runtime.predict(waveform[: 3 * 512].reshape(3, 512))


@pytest.mark.parametrize("rate", [1797.0, 1e9, -29.95, float("nan"), float("inf"), float("-inf")])
def test_a_shaft_rate_that_is_none_is_refused(runtime, waveform, rate):
    for call in (
        lambda: runtime.diagnose(waveform, sampling_rate_hz=12_000.0, shaft_rate_hz=rate),
        lambda: runtime.predict(waveform[None, :512], shaft_rate_hz=rate),
        lambda: list(runtime.stream(ArraySource(waveform[None]), sampling_rate_hz=12e3, shaft_rate_hz=rate)),
    ):
        with pytest.raises(DataError, match="give turns a second") as raised:
            call()
        assert ("1797 rpm are 29.95" in str(raised.value)) == (rate == 1797.0)


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        (FaultOrders(bpfo=107.4, bpfi=162.2, bsf2=141.2, ftf=11.9), "Divide rates in Hz"),
        (FaultOrders(bpfo=40.0, bpfi=60.0, bsf2=4.7, ftf=0.4), "fault line at 12000 Hz"),
    ],
)
def test_orders_that_no_bearing_has_here_are_refused(runtime, waveform, orders, message):
    with pytest.raises(DataError, match=message):
        runtime.diagnose(waveform, sampling_rate_hz=12e3, shaft_rate_hz=200.0, fault_orders=orders)


@pytest.mark.parametrize("hop_s", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_a_hop_that_is_no_time_is_refused(runtime, waveform, hop_s):
    with pytest.raises(ConfigError, match="a hop of"):
        list(runtime.stream(ArraySource(waveform[None]), sampling_rate_hz=12e3, hop_s=hop_s))


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

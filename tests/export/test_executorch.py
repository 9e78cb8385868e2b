"""Diagnosers in ExecuTorch: what it computes is what the checkpoint computes; what is missing is named."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from secateur.bundle.archive import pack
from secateur.bundle.executorch_session import ExecuTorchSession, import_executorch
from secateur.bundle.manifest import read_manifest
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import CheckpointError, ConfigError, ExportError
from secateur.edge import Runtime
from secateur.export import formats
from secateur.export.bundle import write_bundle
from secateur.export.executorch_bits import to_int8
from secateur.export.executorch_graph import deployed, one_window, projections, traced
from secateur.export.executorch_model import lowered, require_kernels, write_executorch
from secateur.export.onnx import Deployed
from secateur.export.parity import Tolerance, reference_logits
from secateur.export.quantise import Quantisation
from tiny_bundles import tiny_diagnoser, tiny_windows

needs_executorch = pytest.mark.skipif(
    find_spec("executorch") is None, reason="the extra 'executorch' is not installed"
)
LOOSE = Tolerance(logits=1.0, golden=0.05, probability=0.2, agreement=0.6)


class Sorts(nn.Module):
    """Sorts inside a region without autocast, as the front end's lines do."""

    def forward(self, given):
        with torch.autocast("cpu", enabled=False):
            rising = given.sort(-1).values
        return rising, given.sort(1, descending=True).values


@pytest.fixture(scope="module")
def float_bundle(cut, nano_windows, tmp_path_factory):
    out = tmp_path_factory.mktemp("executorch") / "bundle"
    return write_bundle(cut.model, nano_windows, out, name="nano", plan=cut.plan, format="executorch")


# --- without the package ---


def test_linear_layers_stand_for_conv1d_and_say_the_same():
    model, windows = tiny_diagnoser("gpt2"), tiny_windows()
    copied = deployed(model)
    assert not any(isinstance(module, Conv1D) for module in copied.modules())
    assert sum(isinstance(module, Conv1D) for module in model.modules()) == 8
    assert len(projections(copied)) == 8
    assert not any("patches" in name or "head" in name for name in projections(copied))
    arguments = [torch.as_tensor(windows[name]) for name in ("waveform", "shaft_rate_hz", "fault_orders")]
    with torch.no_grad():
        for found, expected in zip(copied(*arguments), Deployed(model)(*arguments), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_every_buffer_is_part_of_the_program(cut):
    model = cut.model
    assert "front_end.levels.taper" not in model.state_dict()
    kept = deployed(model).state_dict()
    assert {f"diagnoser.{name}" for name, _ in model.named_buffers()} <= set(kept)


def test_sorts_are_written_as_topk_with_the_same_values():
    given = (torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0)),)
    program = traced(Sorts().eval(), given)
    targets = [
        str(node.target)
        for module in program.graph_module.modules()
        if isinstance(module, torch.fx.GraphModule)
        for node in module.graph.nodes
    ]
    assert targets.count("aten.topk.default") == 2
    assert not any("sort" in target for target in targets)
    for found, expected in zip(program.module()(*given), Sorts()(*given), strict=True):
        assert torch.equal(found, expected)


def test_precisions_and_schemes_belong_to_the_format():
    with pytest.raises(ConfigError, match="precision 'bfloat16'; a bundle is written in float32 or int8"):
        formats.quantisation_of("executorch", "bfloat16", None)
    with pytest.raises(ConfigError, match="choose dynamic or static"):
        formats.quantisation_of("executorch", "int8", Quantisation(scheme="weights"))
    assert formats.quantisation_of("executorch", "int8", None).scheme == "dynamic"


def test_a_missing_package_is_named_and_nothing_is_left(monkeypatch, tmp_path):
    for loaded in [name for name in sys.modules if name.startswith("executorch.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "executorch", None)
    said = r"need.* executorch and torch.*pip install 'secateur\[executorch\]'.*ONNX do without"
    with pytest.raises(ConfigError, match=said):
        ExecuTorchSession(b"")
    with pytest.raises(ConfigError, match=said):
        write_bundle(
            tiny_diagnoser("llama"), tiny_windows(), tmp_path / "out", name="tiny", format="executorch"
        )
    assert list(tmp_path.iterdir()) == []


# --- with the package ---


@needs_executorch
@pytest.mark.slow
def test_a_bundle_of_unequal_layers_is_equal_to_its_checkpoint(float_bundle, cut, nano_windows, tmp_path):
    folder = float_bundle.folder
    manifest = read_manifest(folder)
    assert manifest.format == "executorch"
    assert manifest.model_file == "model.pte"
    assert set(manifest.files) == {"model.pte", "golden.npz"}
    assert [layer.channels for layer in manifest.layers] == [40, 32]
    assert [entry.shape for entry in manifest.inputs] == [(1, 8192), (1,), (1, 4)]
    assert {entry.shape for entry in manifest.outputs} == {(1, 3)}
    assert 0 < manifest.parity.max_abs_diff <= manifest.parity.tolerance == 1e-4
    assert verify_bundle(folder).golden_max_abs_diff <= 1e-4
    runtime = Runtime(folder)
    assert runtime.golden_max_abs_diff <= 1e-4
    logits, probabilities = runtime.predict(nano_windows["waveform"])
    unknown = {
        "waveform": nano_windows["waveform"],
        "shaft_rate_hz": np.zeros(5),
        "fault_orders": np.zeros((5, 4)),
    }
    expected = reference_logits(cut.model, unknown)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, torch.from_numpy(expected).softmax(-1), atol=1e-5)
    pack(folder, tmp_path / "nano.sct")
    packed, _ = Runtime(tmp_path / "nano.sct").predict(nano_windows["waveform"])
    np.testing.assert_array_equal(packed, logits)


@needs_executorch
@pytest.mark.slow
def test_a_flipped_byte_is_refused(float_bundle, tmp_path):
    copied = tmp_path / "bundle"
    copied.mkdir()
    for file in float_bundle.folder.iterdir():
        content = bytearray(file.read_bytes())
        if file.name == "model.pte":
            content[len(content) // 2] ^= 1
        (copied / file.name).write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        Runtime(copied)


@needs_executorch
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_int8_is_in_the_backbone_alone(cut, nano_windows, tmp_path, scheme):
    info = write_bundle(
        cut.model,
        nano_windows,
        tmp_path / "bundle",
        name="nano",
        plan=cut.plan,
        format="executorch",
        precision="int8",
        quantise=Quantisation(scheme=scheme, calibration=[nano_windows] if scheme == "static" else ()),
        tolerance=LOOSE,
    )
    record = info.manifest.quantisation
    assert record.scheme == scheme
    assert record.calibration_windows == (5 if scheme == "static" else 0)
    assert record.matrices == {"int8": cut.projections}
    assert info.graph_bytes < info.float32_graph_bytes
    assert 1e-4 < info.parity.max_abs_diff < 0.5
    assert Runtime(info.folder).golden_max_abs_diff < 1e-5


@needs_executorch
def test_int8_needs_windows_and_layers(nano_windows):
    model, windows = tiny_diagnoser("gpt2"), tiny_windows()
    window = one_window(windows)
    with pytest.raises(ExportError, match="needs calibration windows"):
        to_int8(deployed(model), window, Quantisation(scheme="static"))
    model.backbone = nn.Identity()
    with pytest.raises(ExportError, match="no linear layer in its backbone"):
        to_int8(Deployed(model), window, Quantisation())


@needs_executorch
@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_int8_keeps_every_projection_to_half_a_step(scheme):
    module, windows = deployed(tiny_diagnoser("gpt2")), tiny_windows()
    window = one_window(windows)
    quantisation = Quantisation(scheme=scheme, calibration=[windows] if scheme == "static" else ())
    quantised, record = to_int8(module, window, quantisation)
    assert record.calibration_windows == (5 if scheme == "static" else 0)
    stored = [tensor for tensor in quantised.state_dict().values() if tensor.dtype == torch.int8]
    given = [module.get_submodule(name).weight for name in projections(module)]
    assert len(stored) == record.matrices["int8"] == 8
    for weight in given:
        # the quantiser takes no step below 2^-12
        step = (weight.abs().amax(1, keepdim=True) / 127).clamp_min(2**-12)
        steps = [(weight / step - found).abs().max() for found in stored if found.shape == weight.shape]
        assert min(steps) <= 0.501
    with torch.no_grad():
        difference = (quantised(*window)[0] - module(*window)[0]).abs().max()
    assert 0 < difference < 0.05


@needs_executorch
@pytest.mark.slow
def test_beyond_tolerance_nothing_is_written(tmp_path):
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        write_bundle(
            tiny_diagnoser("llama"),
            tiny_windows(),
            tmp_path / "bundle",
            name="tiny",
            format="executorch",
            precision="int8",
            tolerance=Tolerance(logits=1e-7, golden=0.1),
        )
    assert list(tmp_path.iterdir()) == []


@needs_executorch
def test_an_operator_without_a_kernel_is_named():
    with pytest.raises(ExportError, match=r"no kernel for aten::sort\.values.*export to ONNX or OpenVINO"):
        lowered(torch.export.export(Sorts().eval(), (torch.zeros(2, 3, 4),)))
    require_kernels({"aten::topk.values"})


@pytest.fixture(scope="module")
def tiny_program(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "model.pte"
    write_executorch(tiny_diagnoser("llama"), tiny_windows(), path, quantisation=None)
    return path


@needs_executorch
@pytest.mark.parametrize(
    "damage", [lambda _: b"no program" * 20, lambda content: content[:-2000], lambda _: b""]
)
def test_the_session_says_what_it_cannot_load(damage, tiny_program, tmp_path):
    path = tmp_path / "model.pte"
    path.write_bytes(damage(tiny_program.read_bytes()))
    with pytest.raises(ExportError, match=r"ExecuTorch cannot load .*model\.pte"):
        ExecuTorchSession(path)


@needs_executorch
def test_a_batch_is_its_windows_one_by_one_on_the_threads_asked_for(tiny_program):
    windows, binding = tiny_windows(), import_executorch()
    session = ExecuTorchSession(tiny_program, threads=2)
    assert binding._threadpool_get_thread_count() == 2
    session = ExecuTorchSession(tiny_program)
    assert binding._threadpool_get_thread_count() == 1
    logits, probabilities = session.run(windows)
    assert logits.shape == probabilities.shape == (5, 3)
    assert logits.dtype == probabilities.dtype == np.float32
    alone = [session.run({name: array[row : row + 1] for name, array in windows.items()}) for row in range(5)]
    np.testing.assert_array_equal(logits, np.concatenate([one[0] for one in alone]))


OPENS = """
import json, sys
import secateur.edge
before = [name for name in ("torch", "executorch") if name in sys.modules]
secateur.edge.Runtime(sys.argv[1])
names = ("torch", "transformers", "onnxruntime", "executorch.exir", "torchao")
after = [name for name in names if name in sys.modules]
print(json.dumps([before, after]))
"""


@needs_executorch
@pytest.mark.slow
def test_a_device_loads_torch_for_the_binding_and_nothing_of_the_exporter(float_bundle):
    answer = subprocess.run(
        [sys.executable, "-c", OPENS, str(float_bundle.folder)], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == [[], ["torch"]]

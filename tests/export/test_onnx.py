import numpy as np
import onnx
import pytest
import torch
from torch import nn

from secateur.bundle.session import OnnxSession
from secateur.core.errors import ExportError
from secateur.export.bundle import write_bundle
from secateur.export.onnx import export_onnx, frozen_copy, to_onnx
from secateur.export.parity import reference_logits
from secateur.models.diagnoser import Diagnoser
from secateur.models.front_end.settings import front_end_for
from secateur.models.presets import preset_config


def test_graph_takes_raw_windows_in_any_number(bundle, diagnoser, windows):
    session = OnnxSession(bundle.folder / "model.onnx")
    expected = reference_logits(diagnoser, windows)
    for count in (1, 2, 5):
        part = {name: values[:count] for name, values in windows.items()}
        logits, probabilities = session.run(part)
        np.testing.assert_allclose(logits, expected[:count], atol=1e-5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    louder = {**windows, "waveform": 40.0 * windows["waveform"] - 5.0}
    np.testing.assert_allclose(session.run(louder)[0], expected, atol=1e-3)


def test_every_input_reaches_the_logits(bundle, windows):
    session = OnnxSession(bundle.folder / "model.onnx")
    plain, _ = session.run(windows)
    for name in ("waveform", "shaft_rate_hz", "fault_orders"):
        changed, _ = session.run({**windows, name: windows[name][::-1] * 1.5 + 0.1})
        assert np.abs(changed - plain).max() > 1e-4, name


def test_file_is_whole_and_names_no_source(bundle):
    path = bundle.folder / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    assert all(len(tensor.external_data) == 0 for tensor in onnx.load(path).graph.initializer)
    assert b".py" not in path.read_bytes()


class _Sum(nn.Module):
    def forward(self, waveform, shaft_rate_hz, fault_orders):
        return fault_orders * shaft_rate_hz[:, None] + waveform.sum(dim=-1, keepdim=True)


def test_exporter_is_silent(windows, tmp_path, capfd):
    export_onnx(_Sum(), windows, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")


def test_exporter_is_silent_when_it_gives_up(capfd):
    class Choosing(torch.nn.Module):
        def forward(self, values):
            return values if values.max() > 3 else -values

    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        to_onnx(Choosing(), (torch.ones(3),), input_names=["a"], output_names=["b"], dynamic_shapes=None)
    assert capfd.readouterr() == ("", "")


def test_frozen_copy_leaves_the_model_alone():
    model = nn.Linear(2, 2).to(torch.bfloat16).train()
    assert frozen_copy(model).weight.dtype == torch.float32
    assert model.weight.dtype == torch.bfloat16
    assert model.training
    assert model.weight.requires_grad


class _Unexportable(nn.Module):
    def forward(self, waveform, shaft_rate_hz, fault_orders):
        return waveform.median(dim=-1, keepdim=True).values.expand(-1, 3)


def test_model_that_onnx_cannot_express_is_refused(windows, tmp_path):
    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        export_onnx(_Unexportable(), windows, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "lines_alone"), [("nano-mha", False), ("nano-gqa", False), ("nano-mha", True)]
)
def test_diagnoser_with_its_front_end_exports(preset, lines_alone, tmp_path):
    torch.manual_seed(1)
    front_end = front_end_for(12000.0, 8192, lines_alone=lines_alone)
    model = Diagnoser(preset_config(preset, classes=("normal", "inner_race"), front_end=front_end))
    rng = np.random.default_rng(1)
    raw = (5.0 * rng.standard_normal((3, model.config.window_length)) + 2.0).astype(np.float32)
    windows = {
        "waveform": raw,
        "shaft_rate_hz": np.array([29.9, 0.0, 28.8], dtype=np.float32),
        "fault_orders": np.array([[3.58, 5.42, 4.71, 0.398]] * 2 + [[0.0] * 4], dtype=np.float32),
    }
    info = write_bundle(model, windows, tmp_path / "bundle", name=preset)
    session = OnnxSession(info.folder / "model.onnx")
    alone = {key: values[:1] for key, values in windows.items()}
    assert session.run(alone)[0].shape == (1, 2)
    expected = reference_logits(frozen_copy(model), windows)
    np.testing.assert_allclose(session.run(windows)[0], expected, atol=1e-4)
    rescaled = {**windows, "waveform": 0.1 * raw + 3.0}
    np.testing.assert_allclose(session.run(rescaled)[0], expected, atol=5e-3)

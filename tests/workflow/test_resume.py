"""A run that is killed, wherever it stands, ends as one that is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from secateur.core.records import JsonLines
from secateur.workflow.compress import compress

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, sys
from pathlib import Path

import secateur.training.loop
from secateur.core.progress import quiet
from secateur.methods.settings import CascadeSettings, SearchSettings
from secateur.methods.stage_store import StageStore
from secateur.models import checkpoint
from secateur.recovery.settings import RecoverySettings
from secateur.training.augment import Augmentation
from secateur.training.settings import FitSettings
from secateur.workflow.compress import compress
from secateur.workflow.settings import CutSettings, RunSettings, SiaSettings, TaskSettings


def watched(function, event_of):
    def call(*arguments, **options):
        outcome = function(*arguments, **options)
        event = event_of(*arguments)
        print(event, flush=True)
        if event == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    return call


secateur.training.loop.write_state = watched(
    secateur.training.loop.write_state, lambda folder, state, _: f"{folder.name} {state.step}"
)
StageStore.write = watched(StageStore.write, lambda store, state, record: f"stage {record.number}")
checkpoint.save = watched(checkpoint.save, lambda model, folder: f"saved {folder.name}")
with quiet():
    compress(SETTINGS, Path(sys.argv[2]))
"""


def killed_at(event, settings, out):
    """Run until ``event`` has just happened; return what happened up to then."""
    program = PROGRAM.replace("SETTINGS", repr(settings))
    answer = subprocess.run(
        [sys.executable, "-c", program, event, str(out)], capture_output=True, text=True, timeout=300
    )
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    return answer.stdout.splitlines()


def timeless(value):
    """Leave out what may differ from run to run: times, the command, the bundle's size with them."""
    volatile = ("seconds", "provenance", "bytes")
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in volatile}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def without(events, *starts):
    return [event for event in events if not event.startswith(starts)]


def test_a_run_killed_again_and_again_ends_as_if_left_alone(
    small_run, small_settings, small_result, tmp_path
):
    out = tmp_path / "run"
    # in the middle of training
    seen = killed_at(".dense.partial 10", small_settings, out)
    assert seen == [".dense.partial 5", ".dense.partial 10"]
    assert not (out / "dense").exists()

    # between two stages; training goes on from step 10
    seen = killed_at("stage 2", small_settings, out)
    assert seen[0] == ".dense.partial 15"
    assert without(seen, ".dense", "recovery") == ["saved dense", "stage 1", "stage 2"]
    dense = "dense/model.safetensors"
    assert (out / dense).read_bytes() == (small_run / dense).read_bytes()
    assert not (out / "pruned").exists()

    # the small model is whole, nothing else is; only the last stage was left to do
    seen = killed_at("saved pruned", small_settings, out)
    assert without(seen, "recovery") == ["stage 3", "saved pruned"]
    assert not (out / "result.json").exists()

    result = compress(small_settings, out)
    assert timeless(result) == timeless(small_result)
    for name in ("pruned/plan.json", "pruned/model.safetensors"):
        assert (out / name).read_bytes() == (small_run / name).read_bytes()
    assert timeless(JsonLines(out / "records.jsonl").read()) == timeless(small_result["stages"])
    left, expected = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*")} for folder in (out, small_run)
    )
    assert left == expected

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
import os, signal, sys, traceback
from pathlib import Path

import secateur.training.loop
from secateur.core.progress import quiet
from secateur.methods.floor import Floors
from secateur.methods.settings import CascadeSettings, SearchSettings
from secateur.methods.stage_store import StageStore
from secateur.models import checkpoint
from secateur.recovery.settings import RecoverySettings
from secateur.training.augment import Augmentation
from secateur.training.settings import FitSettings
from secateur.workflow.compress import compress
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import RunSettings, SiaSettings, TaskSettings


def watched(function, event_of):
    def call(*arguments, **options):
        outcome = function(*arguments, **options)
        event = event_of(*arguments)
        print(event, flush=True)
        if event == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    return call


secateur.training.loop.write_state = watched(
    secateur.training.loop.write_state, lambda folder, state, _: f"{folder.name} {state.step}"
)
StageStore.write = watched(StageStore.write, lambda store, state, record: f"stage {record.number}")
checkpoint.save = watched(checkpoint.save, lambda model, folder: f"saved {folder.name}")
for last in map(str.strip, sys.stdin):
    child = os.fork()
    if not child:
        try:
            with quiet():
                compress(SETTINGS, Path(sys.argv[1]))
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    print("ended", os.waitstatus_to_exitcode(status), flush=True)
"""
"""Each run is a process of its own; the one that starts them has imported everything and done nothing."""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def killed_at(small_settings, out):
    """Run until an event has just happened; return what happened up to then."""
    command = [sys.executable, "-c", PROGRAM.replace("SETTINGS", repr(small_settings)), str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def call(event):
            process.stdin.write(f"{event}\n")
            process.stdin.flush()
            told = []
            for line in map(str.rstrip, iter(process.stdout.readline, "")):
                told.append(line)
                if line.startswith("ended"):
                    break
            assert told[-1] == f"ended {-signal.SIGKILL}", told
            return told[:-1]

        yield call
        process.stdin.close()


def timeless(value):
    """Leave out what may differ from run to run: times, the command, the bundle's size with them."""
    volatile = ("seconds", "provenance", "bytes")
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in volatile}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def without(events, *starts):
    return [event for event in events if not event.startswith(starts)]


@pytest.mark.long
@pytest.mark.usefixtures("traced_once")
def test_a_run_killed_again_and_again_ends_as_if_left_alone(
    small_run, small_settings, small_result, out, killed_at
):
    # in the middle of training
    seen = killed_at(".dense.partial 10")
    assert seen == [".dense.partial 5", ".dense.partial 10"]
    assert not (out / "dense").exists()

    # between two stages; training goes on from step 10
    seen = killed_at("stage 2")
    assert seen[0] == ".dense.partial 15"
    assert without(seen, ".dense", "recovery") == ["saved dense", "stage 1", "stage 2"]
    dense = "dense/model.safetensors"
    assert (out / dense).read_bytes() == (small_run / dense).read_bytes()
    assert not (out / "pruned").exists()

    # the small model is whole, nothing else is; only the last stage was left to do
    seen = killed_at("saved pruned")
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

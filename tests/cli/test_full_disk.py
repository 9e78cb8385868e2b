"""A full disk: one line, no half artefact, and the same command goes on afterwards."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from secateur.cli.app import run
from secateur.core import workplace
from secateur.core.records import read_json

pytestmark = pytest.mark.slow

SECATEUR = str(Path(sys.executable).with_name("secateur"))


def compress(data, out, *, steps):
    options = {
        "--data": data,
        "--split": "fault_size:14",
        "--backbone": "nano-gqa",
        "--ratio": "1.2",
        "--train-steps": steps,
        "--recovery-steps": 2,
        "--batch-size": 4,
        "--snr": "",
        "--out": out,
    }
    switches = ["--no-rivals", "--no-measure-sia", "--json"]
    return ["compress", *switches, *(str(part) for pair in options.items() for part in pair)]


@contextmanager
def no_space_for(name):
    """Refuse the file or folder of one name, as a full disk does; let everything else through."""

    make = workplace.tempfile.mkdtemp

    def failing(*, prefix, suffix, dir):
        if prefix == f".{name}.":
            raise OSError(errno.ENOSPC, "No space left on device", str(dir))
        return make(prefix=prefix, suffix=suffix, dir=dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workplace.tempfile, "mkdtemp", failing)
        yield


@pytest.mark.long
@pytest.mark.usefixtures("traced_once")
def test_a_disk_full_at_any_artefact_leaves_none_by_halves_and_a_run_that_goes_on(small_rig, tmp_path, capfd):
    out = tmp_path / "out"
    call = compress(small_rig, out, steps=6)
    for name in (
        "run.json",
        "state-end.safetensors",
        "dense",
        "record.json",
        "pruned",
        "bundle",
        "result.json",
        "report.html",
    ):
        with no_space_for(name):
            assert run(call) == 1
        captured = capfd.readouterr()
        told = json.loads(captured.out)
        assert "No space left on device" in told["error"]
        assert captured.err == f"error: {told['error']}\n"
        assert not (out / name).exists()
        hidden = {path.name for path in out.rglob(".*")}
        assert hidden <= {".dense.partial", ".pruned.partial"}
    assert run(call) == 0
    assert json.loads(capfd.readouterr().out) == read_json(out / "result.json")
    assert (out / "report.html").is_file()
    assert not list(out.rglob(".*"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a Linux mount namespace")
def test_a_disk_that_is_really_full(small_rig, tmp_path):
    """A file system of 256 kB, on which the training state of a nano model does not fit."""
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=256k none '{disk}'"
    if subprocess.run([*namespace, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow to mount a small file system")
    inside = f'{mount} && "$@"; code=$?; find "{disk}" -mindepth 1 -printf "%P\\n" > "$0"; exit $code'
    arguments = compress(small_rig, disk / "out", steps=400)
    answer = subprocess.run(
        [*namespace, "sh", "-c", inside, tmp_path / "left", SECATEUR, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert answer.returncode == 1, answer.stderr
    told = json.loads(answer.stdout)
    assert answer.stderr == f"error: {told['error']}\n"
    assert "disk is full" in told["error"] or "No space left" in told["error"]
    left = (tmp_path / "left").read_text().split()
    assert not [name for name in left if name.endswith((".safetensors", "state.json"))]
    assert set(left) <= {"out", "out/run.json", "out/.dense.partial"}

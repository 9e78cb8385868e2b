"""One process at a time works at an output, and no other command's result is replaced unasked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from secateur.core.errors import ConfigError
from secateur.core.locks import sole_writer
from secateur.core.outputs import recorded_command, result_at
from secateur.core.provenance import command_line, provenance, running
from secateur.core.records import write_json

HOLDER = """
import sys
from pathlib import Path
from secateur.core.locks import sole_writer
from secateur.core.provenance import running
with running(["prune", "a model", "--out", sys.argv[1]]), sole_writer(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works at ``small``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "small"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_who_works_there(holder, tmp_path):
    expected = (
        rf"small is being written by process {holder.pid} on .* since 20.*\(secateur prune 'a model' --out"
    )
    with pytest.raises(ConfigError, match=expected), sole_writer(tmp_path / "small"):
        pass
    with sole_writer(tmp_path / "other"):
        pass


def test_a_killed_writer_bars_nobody_and_its_lock_goes(holder, tmp_path):
    holder.kill()
    holder.wait()
    with sole_writer(tmp_path / "small"), sole_writer(tmp_path / "small"):
        assert len(list(tmp_path.iterdir())) == 1
    assert not any(tmp_path.iterdir())


def test_folders_made_for_a_lock_stay_only_if_something_was_written(tmp_path):
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path / "runs" / "a" / "out"):
        raise ZeroDivisionError
    assert not any(tmp_path.iterdir())
    with sole_writer(tmp_path / "runs" / "a" / "out"):
        write_json(tmp_path / "runs" / "a" / "out", 1)
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["out"]


def write_result(place, arguments, *, overwrite=False):
    with running(arguments), result_at(place, marker="result.json", overwrite=overwrite):
        place.mkdir(exist_ok=True)
        write_json(place / "result.json", {"provenance": provenance()})


def test_the_same_command_may_replace_its_result_another_only_if_asked(tmp_path):
    out = tmp_path / "out"
    write_result(out, ["diagnose", "a.wav"])
    write_result(out, ["diagnose", "a.wav", "--json"])
    with pytest.raises(ConfigError, match=r"result of 'secateur diagnose a\.wav'; add --overwrite"):
        write_result(out, ["diagnose", "b.wav"])
    assert recorded_command(out / "result.json") == "secateur diagnose a.wav"
    write_result(out, ["diagnose", "b.wav", "--overwrite"], overwrite=True)
    assert recorded_command(out / "result.json") == "secateur diagnose b.wav"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_such_result_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        write_result(tmp_path / "out", ["diagnose", "a.wav"], overwrite=overwrite)


def test_a_file_without_a_record_needs_the_word(tmp_path):
    (tmp_path / "table.json").write_text("[]")
    with (
        pytest.raises(ConfigError, match="something else; add --overwrite"),
        result_at(tmp_path / "table.json"),
    ):
        pass
    with result_at(tmp_path / "table.json", overwrite=True), result_at(None):
        pass


@pytest.mark.parametrize(
    "record",
    [
        {"provenance": {"command": "secateur x"}},
        {"lineage": {"command": "secateur x"}},
        {"metadata": {"former": {"command": "secateur y"}, "provenance": {"command": "secateur x"}}},
        {"command": "secateur x", "settings": {}},
    ],
)
def test_commands_are_found_where_results_keep_them(tmp_path, record):
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert recorded_command(tmp_path / "record.json") == "secateur x"


@pytest.mark.parametrize("content", ["", "[" * 100_000, "[]", '{"provenance": null}', '{"command": 3}'])
def test_a_record_that_tells_nothing_is_no_command(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    assert recorded_command(tmp_path / "record.json") is None


def test_the_recorded_command_is_what_a_shell_takes():
    with running(["diagnose", "night shift.wav", "--out", "day", "--json"]):
        assert command_line() == "secateur diagnose 'night shift.wav' --out day"

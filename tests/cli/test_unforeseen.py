"""The last net: whatever escapes a command becomes one line, an exit code and a report in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from secateur.cli import crash_report
from secateur.cli.app import build, run

PROGRAM = """
import sys
import secateur.cli.app as application
app = application.build(())
@app.command()
def work():
    {work}
@app.command()
def other(): ...
application.build = lambda: app
application.main()
"""


def fail(error, *arguments):
    app = build(())

    @app.command()
    def work(as_json: bool = typer.Option(False, "--json")):
        raise error

    @app.command()
    def other(): ...

    return run(["work", *arguments], app)


class Odd(Exception):
    def __str__(self):
        return "two\nlines, \x1b[2J and \x9b\x00"


class Mute(Exception):
    def __str__(self):
        raise ValueError("this error cannot be told")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError", "ZeroDivisionError, division by zero."),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError", "maximum recursion depth"),
        (AssertionError(), "AssertionError", "not foreseen: AssertionError."),
        (Mute(), "Mute", "not foreseen: Mute."),
        (Odd(), "Odd", r"Odd, two lines, \x1b[2J and \x9b\x00."),
        (ValueError("x" * 100_000), "ValueError", "xxx..."),
        (MemoryError(), "OutOfMemory", "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "OutOfMemory", "memory"),
        (ModuleNotFoundError("No module named 'typo'", name="typo"), "ModuleNotFoundError", "named 'typo'"),
    ],
)
def test_an_unforeseen_error_is_one_line_and_a_report(error, kind, message, capsys, reports):
    assert fail(error, "--json") == 1
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer["kind"] == kind
    assert message in answer["error"]
    assert told.err == f"error: {answer['error']}\n"
    assert told.err.isprintable() or told.err[:-1].isprintable()
    assert len(told.err) < 1000
    (report,) = reports.take()
    assert "command: secateur work" in report
    assert "Traceback" in report
    assert "raise error" in report
    assert "'python': '3." in report


def test_the_report_is_named_and_its_owners_alone(capsys, reports):
    fail(ZeroDivisionError())
    told = capsys.readouterr().err
    path = Path(told.partition(" stands in ")[2].partition(";")[0])
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in reports.take()[0]


def test_reports_do_not_pile_up(capsys, reports):
    for _ in range(crash_report.MOST_REPORTS + 3):
        fail(ZeroDivisionError())
    assert len(reports.take()) == crash_report.MOST_REPORTS


def test_where_no_report_can_be_written_the_line_comes_all_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(crash_report.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert fail(ZeroDivisionError("x")) == 1
    assert capsys.readouterr().err == "error: this was not foreseen: ZeroDivisionError, x.\n"


def main_with(work, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work), "work", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("def deeper(n): return deeper(n + 1)\n    deeper(0)", "RecursionError"),
        ("x = bytearray(2 ** 62)", "not enough memory"),
        ("raise KeyboardInterrupt", "interrupted"),
    ],
)
def test_the_program_ends_with_one_line(work, message, reports):
    ended = main_with(work)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr
    assert len(reports.take()) == (message != "interrupted")


def test_what_goes_wrong_around_the_command_is_caught_too(reports):
    ended = main_with("pass", WORLD_SIZE="many", RANK="0")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: this was not foreseen: ValueError")
    assert len(reports.take()) == 1


def test_names_that_are_no_text_can_be_printed():
    ended = main_with("print(b'caf\\xe9'.decode('utf-8', 'surrogateescape'))")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "caf\\udce9\n", "")


def test_a_reader_that_goes_away_ends_it_in_silence():
    work = "[print('x' * 1000) for _ in range(1000)]"
    ended = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -n 1', "sh", sys.executable, "-c", PROGRAM.format(work=work), "work"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("x" * 1000 + "\n", "")

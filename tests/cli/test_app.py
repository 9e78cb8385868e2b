import errno
import json
import signal
import subprocess
import sys

import pytest
import typer

from secateur import __version__
from secateur.cli.app import COMMANDS, build, run
from secateur.core import errors


def _app_that_raises(error):
    app = build(())

    @app.command()
    def work(count: int = 1, as_json: bool = typer.Option(False, "--json")):
        raise error

    @app.command()
    def other():
        typer.echo("did something else")

    return app


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (errors.ConfigError("unknown split 'x'; allowed: load."), 2, "ConfigError"),
        (errors.DataError("no such folder"), 2, "DataError"),
        (errors.PlanError("the largest ratio is 20"), 2, "PlanError"),
        (errors.UnsupportedArchitecture("bert"), 2, "UnsupportedArchitecture"),
        (errors.CheckpointError("damaged"), 1, "CheckpointError"),
        (errors.ExportError("parity"), 1, "ExportError"),
        (errors.TransportError("offline"), 1, "TransportError"),
        (KeyboardInterrupt(), 1, "Interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "/out/model"), 1, "DiskFull"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "DiskFull"),
        (errors.CheckpointError("x not written: [Errno 28] No space left on device."), 1, "DiskFull"),
        (OSError(errno.EFBIG, "File too large", "/out/model"), 1, "FileTooLarge"),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), 1, "PermissionError"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "MissingPackage"),
        (ModuleNotFoundError("No module named 'peft.x'", name="peft.x"), 1, "MissingPackage"),
        (errors.MissingPackage("loading a model needs torch", name="torch"), 1, "MissingPackage"),
    ],
)
def test_each_failure_is_one_message_and_its_code(error, code, kind, capsys):
    app = _app_that_raises(error)
    assert run(["work"], app) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    if isinstance(error, errors.SecateurError) and kind != "DiskFull":
        assert told.err == f"error: {error}\n"

    assert run(["work", "--json"], app) == code
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer["kind"] == kind
    assert told.err == f"error: {answer['error']}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wrok"], "No such command 'wrok'"),
        (["work", "--colour"], "No such option: --colour"),
        (["work", "--count", "many"], "Invalid value for '--count'"),
        (["work", "surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_exits_2_and_says_where_help_is(arguments, message, capsys):
    app = _app_that_raises(AssertionError("must not run"))
    assert run(arguments, app) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "--help'" in told
    assert run([*arguments, "--json"], app) == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "UsageError"


def test_success_version_and_bare_call(capsys):
    app = _app_that_raises(AssertionError("must not run"))
    assert run(["other"], app) == 0
    assert capsys.readouterr().out == "did something else\n"
    assert run(["--version"], app) == 0
    assert capsys.readouterr().out == f"secateur {__version__}\n"
    assert run([], app) == 0
    assert "Usage" in capsys.readouterr().out


def test_every_command_answers_help(capsys):
    app = build()
    for name in COMMANDS:
        assert run([name, "--help"], app) == 0
        assert "Usage" in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from secateur.cli.app import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"numpy", "scipy", "torch", "transformers", "matplotlib", "onnxruntime", "pydantic", "sklearn"}
    assert not (heavy | {"yaml", "pyarrow", "cryptography", "httpx"}) & set(answer.stderr.split())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_with_one_message_and_no_half_artefact(sent, tmp_path):
    program = f"""
import time, secateur.cli.app as application
from pathlib import Path
from secateur.core.files import write_aside
app = application.build(())
@app.command()
def work():
    with write_aside(Path({str(tmp_path)!r}) / "artefact") as aside:
        aside.write_text("half")
        print("ready", flush=True)
        for _ in range(600):  # a signal just before a long sleep would wait for its end
            time.sleep(0.05)
@app.command()
def other(): ...
application.build = lambda: app
application.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, "work"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        _, told = process.communicate(timeout=600)
    assert process.returncode == 1
    assert told.startswith("error: interrupted")
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

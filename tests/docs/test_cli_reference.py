"""The command-line reference agrees with the commands."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_cli_reference.py"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_cli_reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )


def test_the_page_is_up_to_date():
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_a_page_that_differs_is_reported(maker, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(maker, "PAGE", tmp_path / "cli.md")
    monkeypatch.setattr(sys, "argv", ["make_cli_reference.py", "--check"])
    assert maker.main() == 1
    (tmp_path / "cli.md").write_text(maker.reference().replace("`13.8`", "`4.2`"))
    assert maker.main() == 1
    assert "out of date" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["make_cli_reference.py"])
    assert maker.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_cli_reference.py", "--check"])
    assert maker.main() == 0


def test_every_command_and_option_is_there(maker):
    page = maker.reference()
    for command in ("compress", "train", "prune", "evaluate", "export", "report"):
        assert f"## secateur {command}\n" in page
    for command in ("list", "check", "describe", "fetch"):
        assert f"## secateur data {command}\n" in page
    assert "| `--ratio X` | `13.8` |" in page
    assert "| `--rivals` / `--no-rivals` | none |" in page
    assert "| `--measure-sia` / `--no-measure-sia` | `--measure-sia` |" in page
    assert "| `--data TEXT` | required |" in page
    assert "| `--train-steps N` | `600` |" in page
    assert "| `PATH` | required |" in page

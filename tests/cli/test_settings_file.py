"""Options from a YAML file: taken, overruled by the command line, and refused by name."""

from __future__ import annotations

import pytest
import typer

from secateur.cli.app import build, run
from secateur.cli.settings_file import Settings

SEEN = {}


@pytest.fixture
def app():
    app = build(())

    @app.command()
    def work(
        ratio: float = 2.0,
        train_steps: int = 5,
        check: bool = typer.Option(True, "--check/--no-check"),
        settings_file: Settings = None,
    ):
        SEEN.update(ratio=ratio, train_steps=train_steps, check=check)

    @app.command()
    def other(): ...

    SEEN.clear()
    return app


def test_the_file_fills_what_the_command_line_leaves_open(app, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("ratio: 13.8\ntrain_steps: 7\ncheck: false\n")
    assert run(["work", "--settings", str(path), "--ratio", "4"], app) == 0
    assert SEEN == {"ratio": 4.0, "train_steps": 7, "check": False}
    assert run(["work"], app) == 0
    assert SEEN == {"ratio": 2.0, "train_steps": 5, "check": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("banana: 3", "'banana' is no option of this command; allowed: check, ratio, train-steps"),
        ("- 3", "holds no options"),
        ("ratio: [1, 2]", "'ratio' is [1, 2]; give one value"),
        ("no_check: true", "write 'check: false'"),
        ("settings: x.yaml", "'settings' is no option"),
        ("train_steps: many", "train-steps"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(app, tmp_path, capsys, content, message):
    path = tmp_path / "run.yaml"
    path.write_text(content)
    assert run(["work", "--settings", str(path)], app) == 2
    assert message in capsys.readouterr().err
    assert not SEEN

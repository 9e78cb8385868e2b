"""Help pages: readable in 80 columns, no name of an option or command cut, options by group."""

from __future__ import annotations

import pytest
import typer.main

from secateur.cli.app import COMMANDS, build, run


def leaves(command, path=()):
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


@pytest.mark.parametrize("columns", ["80"])
def test_every_option_is_there_whole_and_no_line_is_too_long(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    app = build()
    for path, command in leaves(typer.main.get_command(app)):
        assert run([*path, "--help"], app) == 0
        told = capsys.readouterr().out
        assert max(map(len, told.splitlines())) <= int(columns), path
        assert "…" not in told
        assert "range>" not in told
        words = told.split()
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert parameter.opts[0] in {word.strip(",") for word in words}, (path, parameter.opts)


def test_options_stand_in_groups(capsys):
    assert run(["compress", "--help"]) == 0
    told = capsys.readouterr().out
    places = [told.index(f"\n{group}:") for group in ("Data", "Size to reach", "How it is cut", "Result")]
    assert places == sorted(places)
    assert told.index("--ratio") > places[1]
    assert told.index("--out ") > places[3]


def test_the_list_of_commands_tells_whole_sentences(capsys):
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert "..." not in told.partition("Commands:")[2]
    assert all(f"\n  {name} " in told for name in COMMANDS)


def test_completion_is_offered(capsys, monkeypatch):
    monkeypatch.setenv("_SECATEUR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "secateur comp")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == 0
    assert "compress" in capsys.readouterr().out.split()

"""The README and the pages in ``docs``: their commands exist, and what is cheap in them is carried out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from secateur.cli.app import build, run
from secateur.core.progress import quiet
from secateur.signals.protocols import parse_protocol
from tiny_tokenizers import TEXT, llama

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHEAP = (["data", "list"], ["data", "check"], ["data", "describe"], ["--version"])


def blocks(page, *languages):
    """Return the code blocks of a page in these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page):
    """Return the arguments of every ``secateur`` call in the shell blocks of a page."""
    lines = "\n".join(blocks(page, "sh", "bash", "shell", "console", "")).replace("\\\n", " ").splitlines()
    calls = [line.strip().removeprefix("$ ") for line in lines]
    return [
        shlex.split(call, comments=True)[1:]
        for call in calls
        if call.startswith("secateur ") and "[OPTIONS]" not in call
    ]


EVERY_COMMAND = [
    pytest.param(arguments, id=f"{page.name}: secateur {' '.join(arguments)}")
    for page in PAGES
    for arguments in commands(page)
]


def test_the_pages_have_commands():
    assert len(EVERY_COMMAND) >= 8


@pytest.mark.parametrize("arguments", EVERY_COMMAND)
def test_every_command_in_the_pages_can_be_given(arguments):
    """The command and its options exist and take these values."""
    command, rest, context = typer.main.get_command(build()), list(arguments), None
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"there is no command '{name}'"
        command = command.commands[name]
    if rest in (["--help"], ["--version"]):
        return
    with command.make_context(arguments[0], rest, parent=context) as context:
        if split := context.params.get("split"):
            parse_protocol(split)


@pytest.fixture
def pumps(tmp_path, monkeypatch):
    """A working folder with the recordings of the README and the YAML that it shows."""
    folder = tmp_path / "pumps"
    folder.mkdir()
    (text,) = blocks(ROOT / "README.md", "yaml")
    (folder / "recordings.yaml").write_text(text)
    description = yaml.safe_load(text)
    rng = np.random.default_rng(0)
    for entry in description["recordings"]:
        np.savetxt(
            folder / entry["file"],
            rng.standard_normal(45_000),
            header=description["columns"][0],
            comments="",
            fmt="%.4f",
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(arguments, id=" ".join(arguments))
        for arguments in commands(ROOT / "README.md")
        if any(arguments[: len(cheap)] == cheap for cheap in CHEAP)
    ],
)
def test_cheap_commands_of_the_readme_run(arguments, pumps, capfd):
    assert run(arguments) == 0
    assert capfd.readouterr().out


def test_python_of_the_readme_runs_on_a_finished_run(pumps, small_run, monkeypatch):
    for folder in re.findall(r'load\("(runs/\w+)/pruned"\)', (ROOT / "README.md").read_text()):
        link = pumps / folder
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(small_run)
    program = "\n".join(block for block in blocks(ROOT / "README.md", "python") if "secateur.load" in block)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "outer_race" in answer.stdout


def test_python_of_the_readme_cuts_a_live_model(tmp_path, monkeypatch):
    (program,) = (block for block in blocks(ROOT / "README.md", "python") if "secateur.prune" in block)
    (tmp_path / "manuals.txt").write_text(TEXT[:60_000], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tokenizer = llama()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    names = {"model": LlamaForCausalLM(config).eval(), "tokenizer": tokenizer}
    parameters = sum(one.numel() for one in names["model"].parameters())
    with quiet():
        exec(compile(program, "README.md", "exec"), names)
    assert sum(one.numel() for one in names["small"].parameters()) <= parameters / 1.4


def test_targets_named_in_the_readme_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target} does not exist"

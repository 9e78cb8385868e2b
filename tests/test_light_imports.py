"""What must work without the deep-learning packages: every help, and the rooms below the models."""

from __future__ import annotations

import json
import subprocess
import sys

from secateur.cli.app import COMMANDS

HEAVY = ("torch", "transformers", "accelerate", "peft", "sklearn", "onnx", "onnxscript", "onnxruntime")

LIGHT_ROOMS = """
import json, pkgutil, sys
from importlib import import_module



class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)


sys.meta_path.insert(0, Missing())
import secateur

found = []
for room in ("core", "signals", "structure", "report"):
    package = import_module(f"secateur.{room}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        import_module(module.name)
        found.append(module.name)
print(json.dumps(found))
"""

HELPS = """
import sys
from secateur.cli.app import run

for command in COMMANDS:
    assert run([*command, "--help"]) == 0
heavy = [name for name in HEAVY if name in sys.modules]
assert not heavy, heavy
"""


def run_alone(program: str, **names: object) -> str:
    for name, value in names.items():
        program = program.replace(name, repr(value))
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_light_rooms_need_no_heavy_package():
    found = json.loads(run_alone(LIGHT_ROOMS, HEAVY=HEAVY))
    expected = {"secateur.signals.windows", "secateur.structure.plan", "secateur.report.page"}
    # what turns options into settings stands in the command line's room, but is imported by commands only
    assert expected <= set(found)


def test_every_help_answers_without_a_heavy_package():
    told = run_alone(HELPS, HEAVY=HEAVY, COMMANDS=[(), *((name,) for name in COMMANDS), ("data", "fetch")])
    for option in ("--ratio", "--min-accuracy", "--against"):
        assert option in told

"""A missing package is told with the command that installs it, for every package of every extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from secateur.core.errors import MissingPackage, SecateurError
from secateur.core.extras import explained, how_to_install, require_packages

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def declared(monkeypatch):
    """What pyproject.toml declares, as an installed package tells it; extras by package."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    told = project["dependencies"] + [
        f'{requirement}; extra == "{extra}"' for extra, listed in extras.items() for requirement in listed
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: told)
    found: dict[str, set[str]] = {}
    for extra, listed in extras.items():
        for requirement in listed:
            found.setdefault(re.match(r"[A-Za-z0-9_-]+", requirement)[0], set()).add(extra)
    found.pop("secateur")
    return found


MODULES = {
    "scikit-learn": "sklearn",
    "paho-mqtt": "paho",
    "protobuf": "google",
    "npTDMS": "nptdms",
    "pyyaml": "yaml",
}


def test_every_package_of_every_extra_is_known(declared):
    for package, extras in declared.items():
        module = MODULES.get(package, package.replace("-", "_"))
        command = how_to_install(module)
        if extras == {"dev"}:
            assert command is None
        else:
            assert re.fullmatch(r"pip install 'secateur\[(.+)\]'", command)[1] in extras - {"dev"}, package


def test_packages_that_are_always_there_and_strangers(declared):
    assert how_to_install("torch") == "pip install 'secateur[train]'"
    assert how_to_install("onnxruntime") == "pip install 'secateur[edge]'"
    assert how_to_install("openvino") == "pip install 'secateur[openvino]'"
    assert how_to_install("numpy") == "pip install secateur"
    assert how_to_install("typo") is None


def test_an_import_that_fails_is_explained(declared):
    @explained("signing")
    def sign(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    with pytest.raises(
        MissingPackage, match=r"signing needs the package 'cryptography', which is not"
    ) as raised:
        sign("cryptography.hazmat")
    assert isinstance(raised.value, SecateurError)
    assert isinstance(raised.value, ImportError)
    assert raised.value.name == "cryptography"
    with pytest.raises(ModuleNotFoundError, match="No module named 'typo'"):
        sign("typo")


def test_packages_are_looked_for_without_importing_them(declared, monkeypatch):
    require_packages("this", "json", "numpy")
    monkeypatch.setattr("secateur.core.extras.find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="this needs the package 'torch'"):
        require_packages("this", "torch")


WITHOUT = """
import sys
from importlib import import_module
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "{missing}":
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Missing())
import secateur
works = [lambda: secateur.load("anywhere")]
works += [lambda name=name: import_module(f"secateur.{{name}}") for name in {modules}]
for work in works:
    try:
        work()
    except ImportError as error:
        print(error)
"""
HEAVY_MODULES = (
    "models.checkpoint",
    "training.fit",
    "scoring.registered",
    "surgery.apply",
    "blockwise.refit",
    "methods.registered",
    "export.bundle",
)


@pytest.mark.parametrize("missing", ["torch", "safetensors", "transformers"])
def test_without_a_package_the_library_says_what_to_install(missing):
    program = WITHOUT.format(missing=missing, modules=HEAVY_MODULES)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told = answer.stdout.splitlines()
    assert len(told) == 1 + len(HEAVY_MODULES)
    for line in told:
        assert f"needs the package '{missing}', which is not installed; run: pip install 'secateur[" in line

"""What a caller gives is checked against annotations, by name and in the caller's words."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import secateur
from secateur.core.errors import ConfigError
from secateur.core.typed import require_type, typed


@dataclass(frozen=True, kw_only=True)
@typed
class Kept:
    """Settings with a check of their own, that takes the types for granted."""

    count: int = 1
    word: Literal["a", "b"] | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError("too few")


@dataclass(frozen=True, kw_only=True)
class Widened(Kept):
    """More fields, and no check of its own."""

    share: float = 0.5


FITS = [
    (3, int),
    (np.int64(3), int),
    (3, float),
    (np.float32(0.5), float),
    (float("inf"), float),
    (None, float | None),
    ("a", Literal["a", "b"]),
    (("a", "b"), tuple[str, ...]),
    (["a"], Sequence[str]),
    ((1, 2.5), tuple[int, float]),
    ({"a": 1}, Mapping[str, int]),
    (Path("x"), str | Path),
    (Kept(), Kept),
]
MISFITS = [
    (True, int, r"is True \(bool\); give a whole number"),
    (2.0, int, r"is 2.0 \(float\); give a whole number"),
    ("2", float | None, r"is '2' \(str\); give a number or None"),
    (float("nan"), float, r"is nan \(float\); give a number"),
    (None, bool, r"is None \(NoneType\); give True or False"),
    (1, bool, "give True or False"),
    ("c", Literal["a", "b"] | None, "unknown it 'c'; allowed: a, b"),
    (1, Literal["a", "b"], "give one of 'a', 'b'"),
    (("a", "c", "d"), tuple[Literal["a", "b"], ...] | None, "unknown it 'c', 'd'; allowed: a, b"),
    (["a", "b"], tuple[Literal["a", "b"], ...], "give a tuple whose entries are each one of 'a', 'b'"),
    ("ab", Sequence[str], "give a list whose entries are each a text"),
    (("a", 1), tuple[str, ...], "give a tuple whose entries are each a text"),
    ((1,), tuple[int, float], r"give a tuple \(a whole number, a number\)"),
    ({"a": "b"}, Mapping[str, int], "give a dict of a text to a whole number"),
    (["x"], Path, r"give a path \(pathlib.Path\)"),
    ({}, Kept, "give an instance of .*Kept"),
    ("x" * 999, int, r"is 'x{79}\.\.\. \(str\)"),
]


@pytest.mark.parametrize(("value", "annotation"), FITS)
def test_values_of_the_type_are_let_through(value, annotation):
    require_type("it", value, annotation)


@pytest.mark.parametrize(("value", "annotation", "told"), MISFITS)
def test_others_are_refused_with_what_was_given_and_what_is_allowed(value, annotation, told):
    with pytest.raises(ConfigError, match=f"^(it|unknown it) .*{told}|^{told}"):
        require_type("it", value, annotation)


def test_types_are_checked_before_a_class_checks_its_values_and_in_subclasses_too():
    assert Widened(count=2, word="b", share=1).share == 1
    with pytest.raises(ConfigError, match="too few"):
        Kept(count=0)
    for kind in (Kept, Widened):
        with pytest.raises(ConfigError, match="count is '1'"):
            kind(count="1")
    with pytest.raises(ConfigError, match="share is None"):
        Widened(share=None)


def all_settings():
    for room in ("training", "methods", "recovery", "tasks", "models", "structure", "workflow", "bench"):
        package = importlib.import_module(f"secateur.{room}")
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if ".runners" in module.name:
                continue
            for name, kind in vars(importlib.import_module(module.name)).items():
                named = name.endswith("Settings") or name in {
                    "Augmentation", "Budget", "DeviceLimits", "Effort", "ExportRequest", "Floors",
                    "HandAllocation", "MemoryLimit", "TextData", "TextPart",
                }  # fmt: skip
                if named and dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                    yield kind


@pytest.mark.parametrize("kind", sorted(all_settings(), key=lambda kind: kind.__name__))
def test_all_settings_of_the_package_answer_a_wrong_type_with_an_error_of_the_package(kind):
    fields = [field for field in dataclasses.fields(kind) if field.init]
    assert fields
    for field in fields:
        others = {
            other.name: object()
            for other in fields
            if other.default is other.default_factory is dataclasses.MISSING and other is not field
        }
        for wrong in (object(), {1, 2}, [object()], b"2"):
            with pytest.raises(secateur.core.errors.ConfigError, match="; give "):
                kind(**others, **{field.name: wrong})

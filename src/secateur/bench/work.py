"""What is measured: a model file, the process that runs it, and the input it gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secateur.core.errors import ConfigError

Kind = Literal["bundle", "graph", "checkpoint"]

MANIFEST, CONFIGURATION = "manifest.json", "config.json"
ARCHIVE, GRAPH = ".sct", ".onnx"


@dataclass(frozen=True, kw_only=True)
class Work:
    """One configuration, measured in a process of its own.

    Parameters
    ----------
    kind : {"bundle", "graph", "checkpoint"}
        A bundle from raw window to probabilities in the device's runtime; a graph of a backbone alone in
        ONNX Runtime; a Diagnoser in torch, whole, or its backbone alone if ``tokens`` is given.
    path : str
        Where it lies.
    tokens : int or None
        Tokens that a backbone alone gets; None where the window decides.
    threads : int
        Threads of one operator.
    """

    kind: Kind
    path: str
    tokens: int | None
    threads: int

    def tokens_of_graph(self) -> int:
        """Return the tokens that a backbone alone gets.

        Raises
        ------
        ConfigError
            If nothing says how many.
        """
        if self.tokens is None:
            raise ConfigError(f"{self.path} takes any number of tokens; give --tokens.")
        return self.tokens


def kind_of(path: Path) -> Kind:
    """Tell what lies at a path.

    Raises
    ------
    ConfigError
        If it is nothing that can be measured.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"{path} does not exist; give a bundle, a Diagnoser's checkpoint or an ONNX graph.")
    if path.suffix == GRAPH and path.is_file():
        return "graph"
    if (path.suffix == ARCHIVE and path.is_file()) or (path / MANIFEST).is_file():
        return "bundle"
    if (path / CONFIGURATION).is_file():
        return "checkpoint"
    raise ConfigError(
        f"{path} is neither a bundle (folder with {MANIFEST}, or {ARCHIVE}), nor a checkpoint (folder with "
        f"{CONFIGURATION}), nor an {GRAPH} file; export a model with 'secateur export'."
    )


def plan_work(paths: list[Path], *, tokens: tuple[int, ...], threads: int) -> list[list[Work]]:
    """Return what to measure: for each number of tokens, one entry a model, in the order given.

    Raises
    ------
    ConfigError
        If a model is named twice, or tokens and models do not go together.
    """
    if threads < 1 or any(count < 1 for count in tokens) or len(set(tokens)) != len(tokens):
        raise ConfigError(
            f"{threads} threads and tokens {list(tokens)}; both are at least 1, and each number of tokens "
            "is given once."
        )
    if len({Path(path).resolve() for path in paths}) != len(paths):
        raise ConfigError("a model is named twice; name each once.")
    kinds = [kind_of(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        if kind == "bundle" and tokens:
            raise ConfigError(
                f"--tokens was given, but in {path} the window decides how many tokens there are; leave "
                "--tokens out, or give graphs of backbones with an input 'tokens'."
            )
        if kind == "graph" and not tokens:
            raise ConfigError(f"{path} takes tokens; say how many with --tokens, such as --tokens 16.")
    return [
        [
            Work(kind=kind, path=str(path), tokens=count, threads=threads)
            for path, kind in zip(paths, kinds, strict=True)
        ]
        for count in (tokens or (None,))
    ]


def stored_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    path = Path(path)
    if path.is_file():
        return path.stat().st_size
    return sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file())

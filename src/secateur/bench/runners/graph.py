"""A graph of a backbone alone, in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from secateur.bench.inputs import random_tokens
from secateur.bench.work import Work
from secateur.bundle.onnx_options import load_graph
from secateur.core.errors import ConfigError

INPUT = "tokens"


class Graph:
    """A loaded graph and its input.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    tokens : ndarray of float32, shape (1, tokens, hidden)
    """

    def __init__(self, session: onnxruntime.InferenceSession, tokens: np.ndarray) -> None:
        self._session, self._feed = session, {INPUT: tokens}

    def infer(self) -> None:
        """Run once."""
        self._session.run(None, self._feed)


def load(work: Work) -> Graph:
    """Open the graph.

    Raises
    ------
    ConfigError
        If its only input is not ``tokens``, of shape (batch, tokens, hidden).
    ExportError
        If ONNX Runtime cannot load it.
    """
    session = load_graph(Path(work.path), threads=work.threads)
    inputs = {entry.name: entry.shape for entry in session.get_inputs()}
    if list(inputs) != [INPUT] or len(inputs[INPUT]) != 3 or not isinstance(inputs[INPUT][2], int):
        raise ConfigError(
            f"{work.path} takes {inputs}; a graph is measured if it takes '{INPUT}' of shape (batch, tokens, "
            "hidden) and nothing else. Give the bundle of a whole Diagnoser instead."
        )
    return Graph(session, random_tokens(work.tokens_of_graph(), inputs[INPUT][2]))

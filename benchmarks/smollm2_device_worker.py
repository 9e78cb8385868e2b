"""One model file in a process of its own: time to read a prompt, time of each further token, peak memory.

Run by ``smollm2_device.py``; reads what to do as JSON from standard input and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.memory import peak_resident_bytes, resident_bytes

WARM = 8
"""Tokens of a short prompt, and tokens after it, that are not timed."""


class Onnx:
    """A graph in ONNX Runtime, as the edge runtime runs it."""

    def __init__(self, path: Path) -> None:
        from secateur.bundle.causal_session import CausalSession

        self._session = CausalSession(path, threads=1)

    def read(self, prompt: Sequence[int]) -> None:
        """Read a prompt from the start."""
        self._logits, self._cache = self._session.read(np.array([prompt]), self._session.start())

    def go_on(self, count: int) -> None:
        """Add the most likely tokens, one by one."""
        for _ in range(count):
            chosen = self._logits[:, -1:].argmax(axis=-1)
            self._logits, self._cache = self._session.read(chosen, self._cache)


class Torch:
    """The checkpoint itself, as ``generate`` runs it: logits of the last token alone."""

    def __init__(self, path: Path) -> None:
        import torch

        from secateur.models import checkpoint

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self._torch, self._model = torch, checkpoint.load(path).eval()

    def read(self, prompt: Sequence[int]) -> None:
        """Read a prompt from the start."""
        self._out = self._model(input_ids=self._torch.tensor([prompt]), use_cache=True, logits_to_keep=1)

    def go_on(self, count: int) -> None:
        """Add the most likely tokens, one by one."""
        for _ in range(count):
            self._out = self._model(
                input_ids=self._out.logits[:, -1:].argmax(-1),
                past_key_values=self._out.past_key_values,
                use_cache=True,
                logits_to_keep=1,
            )


class LlamaCpp:
    """A GGUF file in llama.cpp with its own defaults but one thread."""

    def __init__(self, path: Path) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx = 512
        settings.n_parallel = 1
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        settings.fit_params = False
        self._server, self._prompt = xllamacpp.Server(settings), []

    def read(self, prompt: Sequence[int]) -> None:
        """Read a prompt from the start."""
        self._prompt = list(prompt)
        self._ask(1, again=False)

    def go_on(self, count: int) -> None:
        """Add the most likely tokens, one by one."""
        self._ask(count, again=True)

    def _ask(self, count: int, *, again: bool) -> None:
        self._server.handle_completions(
            {
                "prompt": self._prompt,
                "n_predict": count,
                "temperature": 0.0,
                "ignore_eos": True,
                "cache_prompt": again,
            }
        )


RUNTIMES: dict[str, Callable[[Path], Any]] = {"onnx": Onnx, "torch": Torch, "gguf": LlamaCpp}


def timed(work: Callable[[], None]) -> dict[str, float]:
    """Return wall time and processor time, all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def main() -> None:
    """Do what is asked for, once."""
    asked = json.load(sys.stdin)
    started = resident_bytes()
    runtime = RUNTIMES[asked["runtime"]](Path(asked["path"]))
    runtime.read(asked["prompt"][:WARM])
    runtime.go_on(WARM)
    prefill = timed(lambda: runtime.read(asked["prompt"]))
    decode = timed(lambda: runtime.go_on(asked["new_tokens"]))
    print(
        json.dumps(
            {
                "prefill": {name: len(asked["prompt"]) / value for name, value in prefill.items()},
                "decode": {name: asked["new_tokens"] / value for name, value in decode.items()},
                "start_mib": started / 2**20,
                "peak_mib": peak_resident_bytes() / 2**20,
            }
        )
    )


if __name__ == "__main__":
    main()

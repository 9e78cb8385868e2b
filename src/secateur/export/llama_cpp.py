"""What a real llama.cpp makes of a GGUF file; run as a program of its own.

``python -m secateur.export.llama_cpp`` reads a question as JSON from standard input and writes the answers
into the NPZ file that it names. A process of its own keeps a file that llama.cpp cannot bear from ending the
export, and its log out of the way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import ExportError

PACKAGE = "xllamacpp"
_LINES = 2


@dataclass(frozen=True, kw_only=True)
class LlamaCppQuestion:
    """A prompt for llama.cpp.

    Attributes
    ----------
    prompt : tuple of int, or str
        Tokens, or a text that llama.cpp itself splits into tokens.
    new_tokens : int
        How many to generate; for tokens only.
    """

    prompt: tuple[int, ...] | str
    new_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class LlamaCppAnswer:
    """What llama.cpp says of one prompt.

    Attributes
    ----------
    logprobs : ndarray of float32, shape (vocabulary,)
        Of the next token.
    tokens : tuple of int
        Its greedy continuation, as many as asked for.
    """

    logprobs: np.ndarray
    tokens: tuple[int, ...]


def llama_cpp_version() -> str | None:
    """Return name and version of the package that brings llama.cpp, None where it is not installed."""
    return f"{PACKAGE} {version(PACKAGE)}" if find_spec(PACKAGE) is not None else None


def ask_llama_cpp(
    file: Path,
    questions: Sequence[LlamaCppQuestion],
    *,
    vocabulary: int,
    whole_token: int,
    context: int,
) -> list[LlamaCppAnswer]:
    """Load a GGUF file in llama.cpp and let it continue prompts, in float32 but for the weights.

    Parameters
    ----------
    file : Path
        The GGUF file.
    questions : sequence of LlamaCppQuestion
    vocabulary : int
        Tokens of the model.
    whole_token : int
        A token that is whole characters.
    context : int
        Positions to make room for.

    Raises
    ------
    ExportError
        If llama.cpp does not load it, or gives something else than was asked for; with its reason.
    """
    with tempfile.TemporaryDirectory(prefix="secateur.") as place:
        answers = Path(place) / "answers.npz"
        asked = {
            "file": str(Path(file).resolve()),
            "questions": [asdict(question) for question in questions],
            "vocabulary": vocabulary,
            "whole_token": whole_token,
            "context": context,
            "answers": str(answers),
        }
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0 or not answers.is_file():
            raise ExportError(f"llama.cpp does not run the file: {_reason(done.stderr)}")
        with np.load(answers, allow_pickle=False) as stored:
            tokens = np.split(stored["tokens"], stored["ends"][:-1])
            return [
                LlamaCppAnswer(logprobs=logprobs, tokens=tuple(chosen.tolist()))
                for logprobs, chosen in zip(stored["logprobs"], tokens, strict=True)
            ]


def _reason(log: str) -> str:
    """The first errors of a log of llama.cpp, or its last lines where it has none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.partition(" E ")[2].strip() for line in lines if " E " in line]
    return " / ".join(errors[:_LINES] or lines[-_LINES:]) or "it said nothing"


def _answer(asked: Mapping[str, Any]) -> None:
    server = _server(asked["file"], asked["context"])
    logprobs = np.full((len(asked["questions"]), asked["vocabulary"]), np.nan, dtype=np.float32)
    tokens: list[int] = []
    ends = []

    def next_token(prompt: Sequence[int] | str, probabilities: int) -> list[dict[str, Any]]:
        return _next_token(server, prompt, probabilities, whole_token=asked["whole_token"])

    for row, question in enumerate(asked["questions"]):
        prompt = question["prompt"]
        likely = next_token(prompt, asked["vocabulary"])
        logprobs[row, [entry["id"] for entry in likely]] = [entry["logprob"] for entry in likely]
        for _ in range(question["new_tokens"]):
            chosen = next_token(prompt, 1)[0]["id"]
            tokens.append(chosen)
            prompt = [*prompt, chosen]
        ends.append(len(tokens))
    np.savez(asked["answers"], logprobs=logprobs, tokens=np.array(tokens, dtype=np.int64), ends=ends)


def _server(file: str, context: int) -> Any:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.n_ctx = context
    settings.n_parallel = 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = False
    settings.fit_params = False
    # what is to be compared is the file, not what llama.cpp rounds as it runs
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(settings)


def _next_token(
    server: Any, prompt: Sequence[int] | str, probabilities: int, *, whole_token: int
) -> list[dict[str, Any]]:
    """The most likely next tokens, with their log-probabilities; what was read before is not read again.

    The server tells nothing of a token that ends within a character. So it is made to choose another, and
    tells the probabilities of before that choice.
    """
    answer = server.handle_completions(
        {
            "prompt": prompt,
            "n_predict": 1,
            "n_probs": probabilities,
            "logit_bias": [[whole_token, 1e6]],
            "temperature": 0.0,
            "cache_prompt": True,
        }
    )
    return answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]


if __name__ == "__main__":
    _answer(json.load(sys.stdin))

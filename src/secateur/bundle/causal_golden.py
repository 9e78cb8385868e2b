"""Golden tokens: a prompt and its greedy continuation, which every device must find again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from secateur.bundle.causal_manifest import CausalManifest
from secateur.bundle.causal_session import CausalSession
from secateur.bundle.source import BundleSource, read_file
from secateur.core.arrays import Expected, read_arrays
from secateur.core.errors import CheckpointError, DataError, ExportError

CAUSAL_GOLDEN_LIMIT = 64 << 20


def write_golden_tokens(
    path: Path, session: CausalSession, prompt: Sequence[int], tokens: Sequence[int]
) -> None:
    """Write a prompt, the tokens that follow it, and the logits of the first and the last step.

    Parameters
    ----------
    path : Path
        The NPZ file.
    session : CausalSession
        Gives the logits.
    prompt, tokens : sequence of int
        Tokens of the prompt, and its greedy continuation; none may be empty.
    """
    logits = _step_logits(session, np.asarray(prompt), np.asarray(tokens))
    np.savez(
        path,
        prompt=np.asarray(prompt, dtype=np.int64),
        tokens=np.asarray(tokens, dtype=np.int64),
        logits=logits[[0, -1]],
    )


def golden_token_difference(source: BundleSource, manifest: CausalManifest, session: CausalSession) -> float:
    """Read the golden prompt and tokens again and return the largest difference from the recorded logits.

    The recorded tokens are fed, so that two tokens that are equally likely but for rounding do no harm; each
    must be the most likely one within the tolerance.

    Raises
    ------
    CheckpointError
        If the golden tokens cannot be read, or are not those that the manifest describes.
    ExportError
        If logits differ by more than the manifest allows, or another token is more likely.
    """
    stored, allowed = _read(source, manifest), manifest.golden.tolerance
    place = source.place / manifest.model_file
    logits = _step_logits(session, stored["prompt"], stored["tokens"])
    if logits.shape[1] != stored["logits"].shape[1]:
        raise ExportError(
            f"{place} gives logits of {logits.shape[1]} tokens; expected {stored['logits'].shape[1]}."
        )
    worst = float(np.abs(logits[[0, -1]] - stored["logits"]).max())
    if not worst <= allowed:
        raise ExportError(
            f"{place} differs from the golden logits by {worst:.2e} on this machine; allowed is "
            f"{allowed:.0e}. Do not use it here."
        )
    behind = logits.max(axis=1) - logits[np.arange(len(logits)), stored["tokens"]]
    if not (behind <= 2 * allowed).all():
        step = int(behind.argmax())
        raise ExportError(
            f"{place} prefers token {int(logits[step].argmax())} to the golden token "
            f"{int(stored['tokens'][step])} at step {step} on this machine. Do not use it here."
        )
    return worst


def _step_logits(session: CausalSession, prompt: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Logits before each of the tokens: (tokens, vocabulary)."""
    logits, cache = session.read(prompt[None], session.start())
    found = [logits[0, -1]]
    for token in tokens[:-1]:
        logits, cache = session.read(token.reshape(1, 1), cache)
        found.append(logits[0, -1])
    return np.stack(found)


def _read(source: BundleSource, manifest: CausalManifest) -> dict[str, np.ndarray]:
    record = manifest.golden
    place = source.place / record.file
    expected = {
        "prompt": Expected(dtype="<i8", shape=(record.prompt_tokens,)),
        "tokens": Expected(dtype="<i8", shape=(record.new_tokens,)),
        "logits": Expected(dtype="<f4", shape=(2, manifest.vocabulary)),
    }
    content = read_file(source, record.file, limit=CAUSAL_GOLDEN_LIMIT)
    try:
        found = read_arrays(content, expected, place, limit=CAUSAL_GOLDEN_LIMIT)
    except DataError as error:
        raise CheckpointError(f"no golden tokens of this model: {error} Export the model again.") from None
    for name in ("prompt", "tokens"):
        if not _within(found[name], manifest.vocabulary):
            raise CheckpointError(f"{place}: '{name}' holds no tokens of this model.")
    if not np.isfinite(found["logits"]).all():
        raise CheckpointError(f"{place} holds NaN or infinite logits; export the model again.")
    return found


def _within(tokens: np.ndarray, vocabulary: int) -> bool:
    return bool((tokens >= 0).all() and (tokens < vocabulary).all())

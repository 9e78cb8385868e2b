"""Greedy text generation on the device: a verified bundle, ONNX Runtime and a key/value cache; no torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from secateur.bundle.causal_golden import golden_token_difference
from secateur.bundle.causal_manifest import CausalManifest
from secateur.bundle.causal_session import CausalSession, open_causal_session
from secateur.bundle.signature import SignatureCheck
from secateur.core.errors import ConfigError, DataError, MeasurementError
from secateur.edge.opening import checked_bundle

Stop = Literal["length", "end token", "context"]
_PADDING = 0


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What follows one prompt.

    Attributes
    ----------
    tokens : tuple of int
        Without the prompt; an end token, where one came, is the last.
    stopped_by : {"length", "end token", "context"}
        Why no more came: as many as asked for, an end token, or no position left in the model.
    prefill_ms : float
        Time to read the prompts, all of a batch together.
    decode_ms : float
        Time of all further steps.
    """

    tokens: tuple[int, ...]
    stopped_by: Stop
    prefill_ms: float
    decode_ms: float


class TextRuntime:
    """A causal language model that is safe to use: its files are checked before anything is loaded.

    Parameters
    ----------
    bundle : Path
        Folder or ``.sct`` archive that ``secateur export`` wrote from a causal language model.
    trusted : sequence of Path
        PEM files of public keys; if any is given, the bundle must be signed by one of them.
    threads : int
        Threads of one operator.

    Attributes
    ----------
    manifest : CausalManifest
    signature : SignatureCheck
    version : str
        First 12 digits of the manifest's SHA-256.
    golden_max_abs_diff : float
        Largest difference of logits on the golden tokens, on this machine.

    Raises
    ------
    ConfigError
        If the bundle holds no causal language model, or there is no thread.
    CheckpointError
        If it is altered, cut short, of a newer schema, or not signed as required.
    ExportError
        If ONNX Runtime cannot load it or does not find the golden tokens again.
    """

    def __init__(self, bundle: str | Path, *, trusted: Sequence[Path] = (), threads: int = 1) -> None:
        checked, self.manifest = checked_bundle(
            bundle, CausalManifest, others_fail="generates no text", trusted=trusted, threads=threads
        )
        self.signature: SignatureCheck = checked.signature
        self.version = checked.version
        self._session = open_causal_session(checked.source, self.manifest, threads=threads)
        self.golden_max_abs_diff = golden_token_difference(checked.source, self.manifest, self._session)

    def generate(
        self, prompt_ids: Sequence[int], max_new_tokens: int, *, end_tokens: Iterable[int] | None = None
    ) -> Generation:
        """Continue one prompt, at each step by the most likely token.

        Parameters
        ----------
        prompt_ids : sequence of int
            Tokens; at least one.
        max_new_tokens : int
            Most tokens to add.
        end_tokens : iterable of int, optional
            Tokens to stop after; default: those of the manifest. Give ``()`` for none.

        Raises
        ------
        DataError
            If the prompt is empty, holds numbers that are no tokens, or leaves no position free.
        ConfigError
            If ``max_new_tokens`` is not positive.
        MeasurementError
            If the model gives numbers that are not finite: no token can be read off them.
        """
        return self.generate_batch([prompt_ids], max_new_tokens, end_tokens=end_tokens)[0]

    def generate_batch(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        end_tokens: Iterable[int] | None = None,
    ) -> tuple[Generation, ...]:
        """Continue several prompts side by side, shorter ones padded on the left.

        The longest prompt decides how many positions are left for all.

        Parameters
        ----------
        prompts : sequence of sequence of int
        max_new_tokens, end_tokens
            As for :meth:`generate`.

        Raises
        ------
        DataError, ConfigError, MeasurementError
            As :meth:`generate`.
        """
        if max_new_tokens < 1:
            raise ConfigError(f"{max_new_tokens} new tokens; ask for at least 1.")
        if not prompts:
            raise DataError("no prompt was given; give at least one.")
        for prompt in prompts:
            self._check(prompt)
        return greedy(
            self._session,
            prompts,
            max_new_tokens,
            end_tokens=frozenset(self.manifest.end_tokens if end_tokens is None else end_tokens),
            context_length=self.manifest.context_length,
        )

    def _check(self, prompt: Sequence[int]) -> None:
        vocabulary, context = self.manifest.vocabulary, self.manifest.context_length
        if len(prompt) == 0:
            raise DataError("an empty prompt; give at least one token, for instance the begin token.")
        wrong = [
            token
            for token in prompt
            if not isinstance(token, (int, np.integer)) or not 0 <= token < vocabulary
        ]
        if wrong:
            raise DataError(f"the prompt holds {wrong[0]!r}; tokens of this model are 0 to {vocabulary - 1}.")
        if context is not None and len(prompt) >= context:
            raise DataError(
                f"a prompt of {len(prompt)} tokens; the model has {context} positions for prompt and answer "
                "together. Give a shorter one."
            )


def generate(bundle: str | Path, prompt_ids: Sequence[int], max_new_tokens: int) -> Generation:
    """Open a bundle and continue one prompt; see :class:`TextRuntime` for more than one."""
    return TextRuntime(bundle).generate(prompt_ids, max_new_tokens)


def greedy(
    session: CausalSession,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    end_tokens: frozenset[int] = frozenset(),
    context_length: int | None = None,
) -> tuple[Generation, ...]:
    """Continue prompts by the most likely token at each step; see :meth:`TextRuntime.generate_batch`.

    Prompts are not checked. Of equally likely tokens the first is taken.
    """
    longest = max(map(len, prompts))
    room = max_new_tokens if context_length is None else min(max_new_tokens, context_length - longest)
    fed = np.full((len(prompts), longest), _PADDING, dtype=np.int64)
    mask = np.zeros_like(fed)
    for row, prompt in enumerate(prompts):
        fed[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    started = time.perf_counter()
    logits, cache = session.read(fed, session.start(len(prompts)), attention_mask=mask)
    read = time.perf_counter()
    ended = np.zeros(len(prompts), dtype=bool)
    found: list[list[int]] = [[] for _ in prompts]
    for step in range(room):
        if not np.isfinite(logits[:, -1]).all():
            raise MeasurementError(f"the model gives no finite numbers for token {step} of its answer.")
        chosen = logits[:, -1].argmax(axis=-1)
        for unfinished in np.flatnonzero(~ended):
            found[unfinished].append(int(chosen[unfinished]))
            ended[unfinished] = int(chosen[unfinished]) in end_tokens
        if ended.all() or step == room - 1:
            break
        logits, cache = session.read(chosen[:, None], cache)
    finished = time.perf_counter()
    short: Stop = "length" if room == max_new_tokens else "context"
    return tuple(
        Generation(
            tokens=tuple(tokens),
            stopped_by="end token" if ended[row] else short,
            prefill_ms=1e3 * (read - started),
            decode_ms=1e3 * (finished - read),
        )
        for row, tokens in enumerate(found)
    )

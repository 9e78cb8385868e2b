"""A task on tokens, read from files: running text, sentences, labelled text, prompts with answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError, DataError
from secateur.core.progress import console
from secateur.core.seeds import derive, generator
from secateur.models.attributes import config_of, embedding_rows, padding_token, tokens_that_fit
from secateur.models.general_text import general_source, with_general_rows
from secateur.models.tables import Table, read_rows
from secateur.models.text import TokenSource, opening_tokens, passage_batches, text_batches, text_blocks
from secateur.tasks.calibration import stratified_indices
from secateur.tasks.classification import Classification
from secateur.tasks.embedding import Embedding
from secateur.tasks.heads import is_causal_lm, is_text_classifier, reads_sentences, require_text_model
from secateur.tasks.kinds import require_fit
from secateur.tasks.next_token import NextToken
from secateur.tasks.objective import Objective
from secateur.tasks.text_data import (
    FITTED_AT_ONCE,
    SENTENCES_A_BLOCK,
    TEXT_TASKS,
    TextData,
    TextTaskName,
)
from secateur.tasks.token_rows import TokenRows
from secateur.tasks.token_task import TokenTask

OBJECTIVES: Mapping[TextTaskName, Objective] = {
    "text": NextToken(),
    "answers": NextToken(),
    "labels": Classification(rounds=True),
    "embeddings": Embedding(),
}

BLOCK_TOKENS = 256
VALIDATION_BLOCKS, PROBE_BLOCKS = 32, 8
MOST_PASSAGES = 4096
"""Sentences that an encoder learns from, at most."""


def block_tokens(model: nn.Module) -> int:
    """Return the tokens of one block of calibration text, at most as many as the model takes."""
    return tokens_that_fit(model, BLOCK_TOKENS)


def task_of_model(model: nn.Module) -> TextTaskName:
    """Return the task on which a model of tokens is calibrated where none is named."""
    if is_causal_lm(model):
        return "text"
    return "labels" if is_text_classifier(model) else "embeddings"


def read_task(model: nn.Module, tokenizer: Any, name: TextTaskName, data: TextData) -> TokenTask:
    """Read the samples of a task.

    Parameters
    ----------
    model : nn.Module
        A model of tokens; its weights are not looked at.
    tokenizer : object
        Of transformers.
    name : {"text", "answers", "labels", "embeddings"}
    data : TextData

    Raises
    ------
    ConfigError
        If the model takes no text or its head does not fit the task, the tokenizer is another model's, or the
        task is unknown.
    DataError
        If the file is missing, unreadable, too short, or its labels are none of the model's.
    """
    if name not in TEXT_TASKS:
        raise ConfigError(f"unknown task '{name}'; allowed: {', '.join(TEXT_TASKS)}.")
    require_text_model(model)
    if data.general_share and name != "text":
        raise ConfigError(
            f"general text is mixed into running text, not into the task '{name}'; leave --general-share out."
        )
    require_fit(model, OBJECTIVES[name], name)
    task = _READERS[name](model, tokenizer, data)
    for batch in (*task.calibration, *task.fitting):
        require_known_tokens(model, int(batch["input_ids"].max()))
    return task


def require_known_tokens(model: nn.Module, highest: int) -> None:
    """Check that a tokenizer gives no token that the model does not have.

    Raises
    ------
    ConfigError
        If it does.
    """
    embedding = embedding_rows(model)
    if highest >= embedding:
        raise ConfigError(
            f"the tokenizer gives token {highest}, but the embedding of {type(model).__name__} has "
            f"{embedding} rows; use the model's own tokenizer, whose files belong into its folder."
        )


def _running_text(model: nn.Module, tokenizer: Any, data: TextData) -> TokenTask:
    length = block_tokens(model)

    def part(name: str) -> TokenSource:
        return _part(data, tokenizer, name)

    def fitted(blocks: int | None = None) -> Tensor:
        rows = text_blocks(part("train"), length=length, blocks=blocks, seed=data.seed)
        return with_general_rows(rows, tokenizer, share=data.share, general=data.general_text, seed=data.seed)

    def drawn(blocks: int, at_once: int) -> tuple[dict[str, Tensor], ...]:
        return tuple({"input_ids": some} for some in fitted(blocks).split(at_once))

    def held(name: str) -> TokenRows | None:
        if not data.held_out:
            return None
        rows = text_blocks(part(name), length=length, blocks=VALIDATION_BLOCKS, seed=derive(data.seed, name))
        return TokenRows.of_blocks(rows, name)

    validation = held("validation")
    return TokenTask(
        name="text",
        objective=OBJECTIVES["text"],
        train=TokenRows.of_blocks(fitted(), "training") if data.learns else None,
        validation=validation,
        test=held("test"),
        elsewhere=held("elsewhere"),
        calibration=drawn(data.blocks, data.scored_at_once),
        fitting=drawn(data.fitted_blocks, data.fitted_at_once),
        probe=_probe(validation),
        seed=data.seed,
    )


def _part(data: TextData, tokenizer: Any, name: str) -> TokenSource:
    """Return what plays a role: a part of the text, or what of the general text nothing is fitted to."""
    if name == "elsewhere":
        return general_source(tokenizer, data.general_text, judged=True)
    test, validation = 1 - data.held_out, 1 - 2 * data.held_out
    ends = {"train": (0.0, validation), "validation": (validation, test), "test": (test, 1.0)}
    first, last = ends[name]
    return TokenSource(path=data.path, tokenizer=tokenizer, first=first, last=last)


def _sentences(model: nn.Module, tokenizer: Any, data: TextData) -> TokenTask:
    length = block_tokens(model)

    def part(name: str) -> TokenSource:
        return _part(data, tokenizer, name)

    def drawn(name: str, count: int, at_once: int) -> tuple[dict[str, Tensor], ...]:
        if reads_sentences(model, tokenizer):
            passages = SENTENCES_A_BLOCK * count
            return passage_batches(
                part(name), passages=passages, length=length, batch_size=at_once, seed=data.seed
            )
        return text_batches(part(name), blocks=count, length=length, batch_size=at_once, seed=data.seed)

    def rows(name: str, count: int) -> TokenRows:
        batches = drawn(name, count, 1)
        padding = padding_token(model, tokenizer) or 0
        return TokenRows(rows=[batch["input_ids"][0] for batch in batches], padding=padding)

    fitted = [rows("train", count) for count in (data.blocks, data.fitted_blocks)]
    if reads_sentences(model, tokenizer):
        _require_sentences(fitted[1].rows, length, data)
    train = rows("train", MOST_PASSAGES // SENTENCES_A_BLOCK) if data.learns else None

    def held(name: str) -> TokenRows | None:
        if not data.held_out:
            return None
        found = rows(name, VALIDATION_BLOCKS)
        new = found.without(*fitted, *(() if train is None else (train,)))
        if not len(new):
            raise DataError(
                f"every sentence of {part(name).path} that is held out is among those fitted to; give a text "
                "of more different sentences."
            )
        return new

    validation = held("validation")
    return TokenTask(
        name="embeddings",
        objective=OBJECTIVES["embeddings"],
        train=train,
        validation=validation,
        test=held("test"),
        elsewhere=held("elsewhere"),
        calibration=drawn("train", data.blocks, data.scored_at_once),
        fitting=drawn("train", data.fitted_blocks, data.fitted_at_once),
        probe=_probe(validation, SENTENCES_A_BLOCK),
        seed=data.seed,
    )


def _require_sentences(fitted: Sequence[Tensor] | Tensor, length: int, data: TextData) -> None:
    ends = "a sentence ends with '.', '!' or '?', or at an empty line"
    if len(fitted) < 2:
        raise DataError(f"{data.path} has one sentence to fit to, too few; {ends}.")
    if cut := sum(len(row) >= length for row in fitted):
        console.print(
            f"{cut} of {len(fitted)} sentences reach {length} tokens; what is longer is cut off there "
            f"({ends})"
        )


def _labelled(model: nn.Module, tokenizer: Any, data: TextData) -> TokenTask:
    padding = config_of(model).get_text_config().pad_token_id
    if padding is None:
        raise ConfigError(
            f"{type(model).__name__} knows no padding, so texts of unlike lengths cannot stand in one batch; "
            "name a token that no text holds as pad_token_id in its configuration (config.json)."
        )
    table = read_rows(data.path, ("text", "label"))
    classes = torch.tensor([_class_of(model, value, data.path) for _, value in table])
    if len(table) and len(classes.unique()) < 2:
        raise DataError(
            f"{data.path} has one class only ('{table[0][1]}'), so it cannot show what tells classes apart; "
            "give rows of two classes at least."
        )
    texts, length = [str(text) for text, _ in table], block_tokens(model)
    rows = tokenizer(texts, verbose=False)["input_ids"]
    longer = [place for place, row in enumerate(rows) if len(row) > length]
    for place in longer:
        rows[place] = tokenizer(texts[place], truncation=True, max_length=length)["input_ids"]
    if longer:
        console.print(
            f"{len(longer)} of {len(rows)} texts have more than {length} tokens; they are cut off there, for "
            "the figures too"
        )
    whole = TokenRows(rows=[torch.tensor(row) for row in rows], classes=classes, padding=padding)
    alike = whole.of_one_text()
    if torn := sum(len(classes[places].unique()) > 1 for places in alike):
        console.print(f"{torn} of {len(alike)} different texts stand in the table with more than one label")
    return _of_table("labels", whole, data)


def _class_of(model: nn.Module, value: Any, path: Path | Table) -> int:
    config = config_of(model)
    known: dict[str, int] = {str(name): number for name, number in config.label2id.items()}
    if str(value) in known:
        return known[str(value)]
    number = str(value).removesuffix(".0")  # tables with gaps turn whole numbers into these
    if number in map(str, range(config.num_labels)):
        return int(number)
    raise DataError(
        f"{path} has the label '{value}', which is none of the model's: {', '.join(known)} (or 0 to "
        f"{config.num_labels - 1})."
    )


def _answers(model: nn.Module, tokenizer: Any, data: TextData) -> TokenTask:
    length = block_tokens(model)
    rows, starts = [], []
    opening = list(opening_tokens(tokenizer))
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    table = read_rows(data.path, ("prompt", "answer"))
    for prompt, answer in table:
        before, behind = (
            tokenizer(str(text), add_special_tokens=False, verbose=False)["input_ids"]
            for text in (prompt, answer)
        )
        if before[: len(opening)] != opening:
            before = [*opening, *before]
        kept = [*before, *behind, *end][:length]
        if len(before) < len(kept) and before:
            rows.append(torch.tensor(kept))
            starts.append(len(before))
    if not rows:
        raise DataError(
            f"{data.path} has no answer that begins within the {length} tokens of a block; give shorter "
            "prompts."
        )
    if left_out := len(table) - len(rows):
        console.print(
            f"{left_out} of {len(table)} answers begin behind the {length} tokens of a block and are left out"
        )
    padding = padding_token(model, tokenizer) or 0
    whole = TokenRows(rows=rows, answers_from=torch.tensor(starts), padding=padding)
    return _of_table("answers", whole, data)


def _of_table(name: TextTaskName, whole: TokenRows, data: TextData) -> TokenTask:
    """Divide a table at random, and draw calibration rows with all classes among them.

    Rows of the same text stay together: else the test would ask for what was learnt.
    """
    alike = whole.of_one_text()
    order = generator(data.seed, "rows of a table").permutation(len(alike))
    held = round(data.held_out * len(alike))
    if data.held_out and not 0 < held < len(alike) - 2 * held:
        raise DataError(
            f"{data.path} has {len(alike)} different texts, too few to hold {data.held_out:.0%} of them out "
            "twice; give more rows."
        )

    def part(places: np.ndarray) -> TokenRows:
        return whole.some([row for place in places for row in alike[place]])

    train = part(order[2 * held :])
    validation, test = (part(order[:held]), part(order[held : 2 * held])) if held else (None, None)
    classes = np.zeros(len(train), dtype=np.int64) if train.classes is None else train.classes.numpy()

    def drawn(count: int, at_once: int) -> tuple[dict[str, Tensor], ...]:
        chosen = stratified_indices(classes, SENTENCES_A_BLOCK * count, seed=data.seed)
        return tuple(train.some(chosen).batches(at_once))

    return TokenTask(
        name=name,
        objective=OBJECTIVES[name],
        train=train,
        validation=validation,
        test=test,
        calibration=drawn(data.blocks, data.fitted_at_once),
        fitting=drawn(data.fitted_blocks, data.fitted_at_once),
        probe=_probe(validation, SENTENCES_A_BLOCK),
        seed=data.seed,
    )


def _probe(validation: TokenRows | None, samples_a_block: int = 1) -> tuple[dict[str, Tensor], ...]:
    if validation is None:
        return ()
    return tuple(validation.first(samples_a_block * PROBE_BLOCKS).batches(FITTED_AT_ONCE))


_READERS: dict[TextTaskName, Callable[[nn.Module, Any, TextData], TokenTask]] = {
    "text": _running_text,
    "answers": _answers,
    "labels": _labelled,
    "embeddings": _sentences,
}

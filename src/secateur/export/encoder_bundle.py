"""The bundle of an encoder of texts: graph, manifest, golden texts and tokenizer in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from secateur.bundle.encoder_manifest import (
    TOKENIZER_FILE,
    EncoderManifest,
    EncoderParityRecord,
    GoldenTextsRecord,
)
from secateur.bundle.encoder_session import INPUTS, OUTPUT, EncoderSession
from secateur.bundle.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE
from secateur.core.errors import ConfigError, ExportError
from secateur.core.files import folder_aside, require_replaceable
from secateur.core.progress import console
from secateur.edge.texts import TextEncoder, padded
from secateur.export.onnx import frozen_copy, to_onnx
from secateur.export.sealing import Sealed, described_as, file_records, layer_records, lineage_record, seal
from secateur.models.attributes import config_of, padding_token, tokens_that_fit
from secateur.models.binding import bind
from secateur.models.pooling import MEAN, POOLING, modules_of
from secateur.structure.plan import PruningPlan
from secateur.tasks.embedding import pool
from secateur.tasks.heads import classes_of

TEXTS = (
    "normal",
    "The outer race of the drive-end bearing shows a defect, and its level rises with the load.",
    "Grease it.",
    "Vibration of pump 7 at 1,797 rpm: envelope peaks at the ball spin frequency and at its second harmonic.",
)
"""What parity is proved on, and the golden texts: of unlike lengths."""

RELATIVE_TOLERANCE = 1e-4
"""Of the largest output of the checkpoint."""

LONGEST = 512


class EncoderBundleInfo(Sealed[EncoderManifest]):
    """A bundle of an encoder of texts that was written."""

    @property
    def graph_bytes(self) -> int:
        """Size of the graph, weights included."""
        return self.manifest.files[MODEL_FILE].bytes


class _Deployed(nn.Module):
    """What the graph computes: embeddings, or logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.gives_classes = model, bool(classes_of(model))
        self.pooling = getattr(config_of(model), POOLING, MEAN)
        self.projection = modules_of(model).projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return what each text gets, (texts, width)."""
        found = self.model(input_ids=input_ids, attention_mask=attention_mask)
        if self.gives_classes:
            return found.logits
        return self.projection(pool(found.last_hidden_state, attention_mask, self.pooling))


def write_encoder_bundle(
    model: PreTrainedModel,
    out: Path,
    *,
    name: str,
    tokenizer: PreTrainedTokenizerBase | None,
    plan: PruningPlan | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> EncoderBundleInfo:
    """Export an encoder or a classifier of texts, prove its parity, and write the bundle.

    The folder appears under its name only after graph and tokenizer have agreed with the checkpoint, in one
    padded batch and text by text, and the finished bundle has passed the check that a device makes.

    Parameters
    ----------
    model : PreTrainedModel
        Left as it is; what is exported is a float32 copy.
    out : Path
        The folder; a former bundle there is replaced, anything else is refused.
    name : str
        What to call the model.
    tokenizer : PreTrainedTokenizerBase or None
        A fast one: its ``tokenizer.json`` is what the device reads texts with.
    plan : PruningPlan, optional
        What was kept of the dense model.
    lineage : mapping, optional
        Fields of :class:`~secateur.bundle.manifest.LineageRecord` except ``plan_sha256``.

    Raises
    ------
    ConfigError
        If there is no fast tokenizer, the head gives no probabilities of classes, or ``out`` holds something
        that is no bundle.
    ExportError
        If the model cannot be exported, or parity fails.
    """
    require_replaceable(Path(out), MANIFEST_FILE)
    labels = classes_of(model)
    if not labels and model.base_model is not model:
        raise ConfigError(
            f"{type(model).__name__} predicts no next token, gives a text no single class (it has "
            f"{model.config.num_labels} outputs) and is no encoder without a head; there is no bundle for it."
        )
    if tokenizer is None or not tokenizer.is_fast:
        raise ConfigError(
            f"{name} has no fast tokenizer (tokenizer.json), with which the device reads texts; put one into "
            "its folder."
        )
    layers = layer_records(bind(model).layers, plan)
    copied = frozen_copy(model)
    copied.set_attn_implementation("eager")
    longest = _longest_tokens(model, tokenizer)
    rows = [tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in TEXTS]
    padding = padding_token(model, tokenizer) or 0
    tokens, mask = padded(rows, padding)
    deployed = _Deployed(copied).eval()
    with torch.no_grad():
        wanted = deployed(torch.from_numpy(tokens), torch.from_numpy(mask)).numpy()
    tolerance = RELATIVE_TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    with folder_aside(Path(out)) as folder:
        console.print("exporting to ONNX")
        batch, length = torch.export.Dim("batch"), torch.export.Dim("tokens")
        proto = to_onnx(
            deployed,
            (torch.from_numpy(tokens[:2]), torch.from_numpy(mask[:2])),
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        )
        (folder / MODEL_FILE).write_bytes(proto.SerializeToString())
        session = EncoderSession(folder / MODEL_FILE)
        found = session.run(tokens, mask)
        worst = float(np.abs(found - wanted).max())
        for row, expected in zip(rows, wanted, strict=True):
            alone = session.run(*padded([row], padding))
            worst = max(worst, float(np.abs(alone - expected).max()))
        if not worst <= tolerance:
            raise ExportError(
                f"the graph differs from the checkpoint by {worst:.2e} on texts of {len(rows)} lengths; "
                f"allowed is {tolerance:.0e}. It is not written."
            )
        np.savez(folder / GOLDEN_FILE, tokens=tokens, mask=mask, output=found)
        (folder / TOKENIZER_FILE).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        manifest = described_as(
            EncoderManifest,
            name=name,
            family=bind(model).spec.family,
            gives="classes" if labels else "embedding",
            width=wanted.shape[1],
            labels=labels,
            vocabulary=model.get_input_embeddings().weight.shape[0],
            longest_tokens=longest,
            padding_token=padding,
            layers=layers,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            files=file_records(sorted(folder.iterdir())),
            parity=EncoderParityRecord(max_abs_diff=worst, tolerance=tolerance, texts=len(rows)),
            lineage=lineage_record(lineage, plan),
            golden=GoldenTextsRecord(
                file=GOLDEN_FILE, texts=len(rows), tokens=tokens.shape[1], tolerance=min(tolerance, 1.0)
            ),
        )
        n_bytes = seal(folder, manifest)
        _require_same_tokens(TextEncoder(folder), rows)
        graph_bytes = manifest.files[MODEL_FILE].bytes
    return EncoderBundleInfo(
        folder=Path(out), manifest=manifest, n_bytes=n_bytes, float32_graph_bytes=graph_bytes
    )


def _longest_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    return int(min(tokens_that_fit(model, LONGEST), tokenizer.model_max_length))


def _require_same_tokens(encoder: TextEncoder, rows: Sequence[Sequence[int]]) -> None:
    if encoder.tokens(TEXTS) != [list(row) for row in rows]:
        raise ExportError(
            "tokenizer.json alone reads texts otherwise than the tokenizer of the model; it is not written."
        )

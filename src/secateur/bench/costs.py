"""The operations of a bundle or graph, counted on the graph that its worker runs."""

from __future__ import annotations

from pathlib import Path

from secateur.bench.inputs import random_tokens, random_window
from secateur.bench.operations import Operations, count_operations
from secateur.bench.runners.graph import INPUT
from secateur.bench.work import Work
from secateur.bundle.manifest import Manifest
from secateur.bundle.source import read_file
from secateur.bundle.verify import check_bundle


def operations_of_work(work: Work) -> Operations | None:
    """Return what one inference costs; None for a checkpoint in torch and for other runtimes."""
    if work.kind == "graph":
        import onnxruntime

        session = onnxruntime.InferenceSession(work.path, providers=["CPUExecutionProvider"])
        hidden = session.get_inputs()[0].shape[2]
        return count_operations(Path(work.path), {INPUT: random_tokens(work.tokens_of_graph(), hidden)})
    if work.kind == "bundle":
        return _of_bundle(Path(work.path))
    return None


def _of_bundle(path: Path) -> Operations | None:
    checked = check_bundle(path)
    manifest = checked.manifest
    if not isinstance(manifest, Manifest) or manifest.format != "onnx":
        return None
    record = manifest.files[manifest.model_file]
    feed = random_window(manifest.window_length)
    return count_operations(read_file(checked.source, manifest.model_file, limit=record.bytes), feed)

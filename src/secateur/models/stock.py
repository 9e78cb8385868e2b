"""Plain folders: a cut model in the words of its family's own configuration, where these suffice.

A configuration tells one width for all layers, and families differ in what else it derives from these
widths (the width of a head, mostly) and what it refuses. So nothing is concluded here: the configuration
is written, an empty model is built of it, and either it has the shapes of the cut model or it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from secateur.models.binding import bind
from secateur.models.experts import stock_tensors
from secateur.models.live_tensors import put_tensors, stored_tensors
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ArchitectureSpec

REFUSALS = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, StrictDataclassError)
"""What ``transformers`` raises on configurations that contradict themselves or do not fit stored weights."""

AUTO_CLASSES = (
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForImageClassification",
    "AutoModel",
)


def is_stock(model: nn.Module) -> bool:
    """Whether the class of a model is one of ``transformers``, which loads a folder of it by itself."""
    return isinstance(model, PreTrainedModel)


def stock_twin(model: PreTrainedModel) -> PreTrainedModel | None:
    """Return a model equal to ``model`` that its configuration alone describes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A cut model of a known family.

    Returns
    -------
    transformers.PreTrainedModel or None
        Of the same class, with the tensors of ``model`` itself (copies of experts alone) and a configuration
        of its own; None where no configuration of the family builds these shapes.
    """
    bound = bind(model)
    tensors = stock_tensors(model)
    if tensors is None:
        return None
    wanted = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for config in _candidates(model.config, bound.spec, bound.shape):
        twin = _built(type(model), config)
        if twin is not None and {n: tuple(t.shape) for n, t in stored_tensors(twin).items()} == wanted:
            put_tensors(twin, {n: t.detach() for n, t in tensors.items()}, "the cut model")
            if getattr(model, "generation_config", None) is not None:
                twin.generation_config = deepcopy(model.generation_config)
            return twin.eval()
    return None


def auto_class(model: PreTrainedModel) -> str:
    """Return the name of the class whose ``from_pretrained`` loads a plain folder of this model."""
    for name in AUTO_CLASSES:
        served = getattr(transformers, name)._model_mapping
        if type(model.config) in served and served[type(model.config)] is type(model):
            return name
    return type(model).__name__


def _candidates(
    config: PreTrainedConfig, spec: ArchitectureSpec, shape: ModelShape
) -> Iterator[PreTrainedConfig]:
    """Configurations to try: as it is (layers and tokens follow every cut), then with the widths told."""
    yield config
    widths = {
        "heads": set(shape.heads_per_layer),
        "groups": set(shape.kv_groups_per_layer),
        "channels": {len(own) for layer in range(shape.n_layers) for own in shape.channels_of_experts(layer)},
        "head_dim": {shape.head_dim},
    }
    if spec.stock and all(len(widths[name]) == 1 for name in spec.stock):
        told = deepcopy(config)
        for name, attribute in spec.stock.items():
            setattr(told, attribute, *widths[name])
        yield told


def _built(model_class: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel | None:
    """An empty model of this configuration as a reader of the folder would build it; None if refused."""
    try:
        read: Any = type(config).from_dict(config.to_dict())
        with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
            twin = model_class(read)
        twin.tie_weights()
    except REFUSALS:
        return None
    return twin

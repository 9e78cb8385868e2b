"""Graphs for ONNX Runtime compute what torch computes, with attention as one operator."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel, Starcoder2Config, Starcoder2Model

from secateur.export.attention import attention_in_one
from secateur.export.onnx import to_onnx
from secateur.export.onnx_rewrites import rewrite_for_runtime
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

WIDTH, HEADS = 64, 4
SIZES = ((1, 1), (1, 7), (3, 4))
COMMON = {"vocab_size": 1, "use_cache": False, "bos_token_id": None, "eos_token_id": None}


def gpt2():
    return GPT2Model(GPT2Config(n_embd=WIDTH, n_head=HEADS, n_layer=2, n_inner=48, n_positions=16, **COMMON))


def rotary(config_class, model_class, *, groups, heads=HEADS, **more):
    config = config_class(
        hidden_size=WIDTH,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        num_hidden_layers=2,
        intermediate_size=48,
        max_position_embeddings=16,
        **more,
        **COMMON,
    )
    return model_class(config)


def cut_llama():
    """Layers with one and with two groups."""
    model = rotary(LlamaConfig, LlamaModel, groups=2)
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    return apply(model, plan.with_groups(0, [1]).with_channels(1, range(16)))


MODELS = {
    "gpt2": gpt2,
    "llama": lambda: rotary(LlamaConfig, LlamaModel, groups=2),
    "llama with biases": lambda: rotary(LlamaConfig, LlamaModel, groups=2, attention_bias=True),
    "llama of unequal layers": cut_llama,
    "heads too narrow to turn": lambda: rotary(LlamaConfig, LlamaModel, groups=4, heads=8),
    "starcoder2": lambda: rotary(Starcoder2Config, Starcoder2Model, groups=2),
    "window of the past": lambda: rotary(Starcoder2Config, Starcoder2Model, groups=2, sliding_window=3),
}
PROJECTIONS = {"heads too narrow to turn": 14, "gpt2": 8, "starcoder2": 8}


class Tokens(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, tokens):
        return self.backbone(inputs_embeds=tokens, use_cache=False).last_hidden_state


@pytest.fixture(scope="module", params=list(MODELS))
def exported(request):
    torch.manual_seed(0)
    model = MODELS[request.param]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    with attention_in_one(model):
        proto = to_onnx(
            Tokens(model).eval(),
            (torch.zeros(2, 5, WIDTH),),
            input_names=("tokens",),
            output_names=("hidden",),
            dynamic_shapes=({0: batch, 1: tokens},),
            rewrite=rewrite_for_runtime,
        )
    return request.param, model, proto


def test_any_number_of_rows_and_tokens_gives_what_torch_gives(exported):
    _, model, proto = exported
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for size in SIZES:
        tokens = torch.randn(*size, WIDTH)
        with torch.no_grad():
            expected = Tokens(model)(tokens).numpy()
        (found,) = session.run(None, {"tokens": tokens.numpy()})
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_what_remains_of_the_graph(exported):
    name, model, proto = exported
    kinds = [node.op_type for node in proto.graph.node]
    if name == "window of the past":
        assert "GroupQueryAttention" not in kinds
        assert kinds.count("Softmax") == 2
        return
    assert kinds.count("GroupQueryAttention") == 2
    assert not {"Softmax", "Where", "Gemm", "Reciprocal"} & set(kinds)
    # one product for queries, keys and values; one for the output, two or three for the feed-forward
    assert kinds.count("MatMul") == PROJECTIONS.get(name, 10)
    operators = [node for node in proto.graph.node if node.op_type == "GroupQueryAttention"]
    turned = [any(entry.name == "do_rotary" for entry in node.attribute) for node in operators]
    assert set(turned) == {name not in ("gpt2", "heads too narrow to turn")}
    scope = f"backbone.{bind(model).block_path(0).rpartition('.')[0]}."
    assert all(node.name.startswith(scope) for node in proto.graph.node if node.op_type == "MatMul")
    onnx.checker.check_model(proto)


def test_the_model_is_as_it_was(exported):
    _, model, _ = exported
    assert model.config._attn_implementation == "sdpa"


def test_a_backbone_that_sees_the_future_keeps_its_attention():
    model = gpt2().eval()
    model.config.is_causal = False
    with attention_in_one(model):
        assert model.config._attn_implementation == "sdpa"

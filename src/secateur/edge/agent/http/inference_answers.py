"""What the agent answers by the Open Inference Protocol and of its health, as types for the OpenAPI page."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class Live(TypedDict):
    """Whether the agent is alive."""

    live: bool


class Ready(TypedDict):
    """Whether the agent takes bursts."""

    ready: bool


class Server(TypedDict):
    """Name and version of the server."""

    name: str
    version: str
    extensions: list[str]


class Tensor(TypedDict):
    """Name, type and shape; -1: any."""

    name: str
    datatype: Literal["FP32"]
    shape: list[int]


class Filled(Tensor):
    """A tensor with its numbers, row by row."""

    data: list[float]


class ModelMetadata(TypedDict):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    parameters: dict[str, Any]


class ModelReady(TypedDict):
    """Whether a model is at work."""

    name: str
    ready: bool


class Inferred(TypedDict):
    """What a model says about windows."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[Filled]
    parameters: dict[str, Any]

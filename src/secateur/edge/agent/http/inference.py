"""The Open Inference Protocol, version 2: health, metadata of models, and inference on windows."""

from __future__ import annotations

import math
import threading
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.core.errors import DataError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http import inference_answers as answers
from secateur.edge.agent.http.endpoint import Call, Endpoint, Json, NotFound
from secateur.edge.agent.intake import IntakeFull
from secateur.edge.agent.sources.payloads import require_few
from secateur.edge.runtime import Runtime
from secateur.signals.kinematics import FaultOrders

MOST_WINDOWS = 64
MOST_ASKING = 4
_WAITING, _RUNNING = threading.BoundedSemaphore(MOST_ASKING), threading.Lock()
_COMMAS_BESIDE = 10 * MOST_WINDOWS
_INPUTS = ("waveform", "shaft_rate_hz", "fault_orders")
_OUTPUTS = ("logits", "probabilities")


class _Output(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Literal["logits", "probabilities"]


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=64)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1 << 22)]], Field(min_length=1, max_length=2)]
    datatype: Literal["FP32"]
    data: list[Any]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, Field(max_length=128)] | None = None
    inputs: Annotated[list[_Tensor], Field(min_length=1, max_length=3)]
    outputs: Annotated[list[_Output], Field(min_length=1, max_length=2)] | None = None


def live(call: Call) -> Any:
    """Say whether the agent is alive."""
    alive = call.agent.is_alive
    return Json({"live": alive}, status_code=200 if alive else 503)


def ready(call: Call) -> Any:
    """Say whether the agent takes bursts."""
    is_ready = call.agent.is_ready
    return Json({"ready": is_ready}, status_code=200 if is_ready else 503)


def server(call: Call) -> dict[str, Any]:
    """Name the server."""
    return {"name": f"secateur {call.agent.config.name}", "version": version("secateur"), "extensions": []}


def _runtime(call: Call) -> Runtime:
    agent: Agent = call.agent
    name = call.path["model"]
    slot = agent.bundles.slots.get(name)
    if slot is None or slot.runtime is None:
        raise NotFound(f"there is no model '{name[:64]}' at work.")
    version = call.path.get("version")
    if version is not None and version != slot.runtime.version:
        raise NotFound(f"version '{version[:16]}' of {name} is not at work; {slot.runtime.version} is.")
    return slot.runtime


def metadata(call: Call) -> dict[str, Any]:
    """Describe a model."""
    runtime = _runtime(call)
    manifest, classes = runtime.manifest, len(runtime.labels)
    shapes = {"waveform": [-1, manifest.window_length], "shaft_rate_hz": [-1], "fault_orders": [-1, 4]}
    return {
        "name": call.path["model"],
        "versions": [runtime.version],
        "platform": f"secateur_{manifest.format}",
        "inputs": [{"name": name, "datatype": "FP32", "shape": shapes[name]} for name in _INPUTS],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, classes]} for name in _OUTPUTS],
        "parameters": {"labels": list(runtime.labels), "sampling_rate_hz": manifest.sampling_rate_hz},
    }


def model_ready(call: Call) -> dict[str, Any]:
    """Say that a model is at work."""
    _runtime(call)
    return {"name": call.path["model"], "ready": True}


def infer(call: Call) -> dict[str, Any]:
    """Run a model on windows, for one client at a time: what watches the machines shares the processor."""
    if not _WAITING.acquire(blocking=False):
        raise IntakeFull("too many ask for inference at once; send it again later.")
    try:
        with _RUNNING:
            return _inferred(call)
    finally:
        _WAITING.release()


def _inferred(call: Call) -> dict[str, Any]:
    runtime = _runtime(call)
    length = runtime.manifest.window_length
    # before it is read: lists of JSON take far more memory than their text
    require_few(call.body.count(b",") - _COMMAS_BESIDE, MOST_WINDOWS * length)
    try:
        request = _Request.model_validate(call.json())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    tensors = {tensor.name: _array(tensor) for tensor in request.inputs}
    unknown = tensors.keys() - set(_INPUTS)
    if unknown or "waveform" not in tensors or len(tensors) < len(request.inputs):
        raise DataError(f"inputs are {', '.join(_INPUTS)}, each once; waveform must be given.")
    waveform = tensors["waveform"]
    if waveform.ndim != 2 or waveform.shape[1] != length or not 1 <= len(waveform) <= MOST_WINDOWS:
        raise DataError(
            f"waveform of shape {waveform.shape}; 1 to {MOST_WINDOWS} windows of {length} are taken."
        )
    count = len(waveform)
    rates = tensors.get("shaft_rate_hz", np.zeros(count, dtype=np.float32))
    orders = tensors.get("fault_orders", np.zeros((count, 4), dtype=np.float32))
    if rates.shape != (count,) or orders.shape != (count, 4):
        raise DataError(f"shaft_rate_hz must have shape ({count},) and fault_orders ({count}, 4).")
    if not (np.isfinite(rates).all() and (rates >= 0).all() and np.isfinite(orders).all()):
        raise DataError("shaft_rate_hz and fault_orders must be finite, speeds not negative.")
    answers = [
        runtime.predict(window[None], shaft_rate_hz=float(rate), fault_orders=_orders(row))
        for window, rate, row in zip(waveform, rates, orders, strict=True)
    ]
    wanted = _OUTPUTS if request.outputs is None else {entry.name for entry in request.outputs}
    found = {
        "model_name": call.path["model"],
        "model_version": runtime.version,
        "outputs": [
            {
                "name": name,
                "datatype": "FP32",
                "shape": [count, len(runtime.labels)],
                "data": np.concatenate(parts).ravel().astype(np.float64).tolist(),
            }
            for name, parts in zip(_OUTPUTS, zip(*answers, strict=True), strict=True)
            if name in wanted
        ],
        "parameters": {"labels": list(runtime.labels)},
    }
    return found if request.id is None else found | {"id": request.id}


def _orders(row: np.ndarray) -> FaultOrders | None:
    if not row.any():
        return None
    bpfo, bpfi, bsf2, ftf = map(float, row)
    return FaultOrders(bpfo=bpfo, bpfi=bpfi, bsf2=bsf2, ftf=ftf)


def _array(tensor: _Tensor) -> np.ndarray:
    """Return the numbers of a tensor, which come flat or row by row."""
    try:
        values = np.asarray(tensor.data)
    except ValueError:  # rows of unequal length
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "fiu":
        raise DataError(f"the data of {tensor.name} are not all numbers, in rows of one length.")
    if values.size != math.prod(tensor.shape):
        raise DataError(f"{tensor.name}: {values.size} numbers do not fill the shape {tensor.shape}.")
    with np.errstate(over="ignore"):
        return values.astype(np.float32).reshape(tensor.shape)


_BODY = {
    "application/json": {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": {"type": "object"}}},
    }
}
_MODEL, _VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
ENDPOINTS = (
    Endpoint(path="/health/live", handler=live, answer=answers.Live, summary="Whether the agent is alive"),
    Endpoint(
        path="/health/ready", handler=ready, answer=answers.Ready, summary="Whether the agent takes bursts"
    ),
    Endpoint(path="/v2/health/live", handler=live, answer=answers.Live, summary="Whether the agent is alive"),
    Endpoint(
        path="/v2/health/ready", handler=ready, answer=answers.Ready, summary="Whether the agent takes bursts"
    ),
    Endpoint(path="/v2", handler=server, answer=answers.Server, summary="Name and version of the server"),
    *(
        Endpoint(path=base + end, handler=handler, answer=answer, summary=summary, method=method, body=body)
        for base in (_MODEL, _VERSION)
        for end, handler, answer, summary, method, body in (
            ("", metadata, answers.ModelMetadata, "Inputs and outputs of a model", "GET", None),
            ("/ready", model_ready, answers.ModelReady, "Whether a model is at work", "GET", None),
            ("/infer", infer, answers.Inferred, "Run a model on windows", "POST", _BODY),
        )
    ),
)

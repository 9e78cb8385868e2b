"""What changes state, with the token only: bursts, alarms, commissioning, bundles."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http import answers
from secateur.edge.agent.http.endpoint import Call, Endpoint, Json, NotFound, Parameter
from secateur.edge.agent.http.reading import sensor_of
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.models.slot import ModelSlot
from secateur.edge.agent.models.store import UPLOAD_PREFIX
from secateur.edge.agent.sources.assembly import Assembler
from secateur.edge.agent.sources.payloads import from_json, from_raw, most_samples
from secateur.edge.agent.state.alarms import LONGEST_COMMENT, LONGEST_NAME

STORED_WITHIN_S = 10.0
_RAW = "application/octet-stream"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Acknowledgement(_Form):
    """Who has seen an alarm."""

    author: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""


_Version = Annotated[str, Field(max_length=64, json_schema_extra={"pattern": "^[0-9a-f]{12}$"})]
"""What does not look like one is refused by the store, in words."""


class Activation(_Form):
    """A version to put to work."""

    version: _Version


class Shadow(_Form):
    """A version to run beside the active one; null: none."""

    version: _Version | None


class SelfTest(_Form):
    """A version to check; default: all."""

    version: _Version | None = None


class Nothing(_Form):
    """An empty object."""


def _form(kind: type[_Form], call: Call) -> Any:
    try:
        return kind.model_validate(call.json() if call.body else {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DataError(f"{'.'.join(map(str, first['loc'])) or 'the request'}: {first['msg']}.") from None


def upload(call: Call) -> Any:
    """Take a burst; answer when its result is on the disk."""
    path = sensor_of(call)
    if call.content_type not in ("application/json", _RAW):
        return Json({"error": f"send application/json or {_RAW}."}, status_code=415)
    read = from_json if call.content_type == "application/json" else from_raw
    piece = read(call.body, most_samples(path.sensor.burst_samples))
    burst = Assembler(incomplete_after_s=1.0).add(path.machine.name, path.sensor.name, piece)
    if burst is None:
        raise DataError("send a whole burst; parts are taken over MQTT only.")
    stored = threading.Event()
    reasons: list[str | None] = []

    def done(reason: str | None) -> None:
        reasons.append(reason)
        stored.set()

    call.agent.intake.submit(Submission(burst=burst, done=done), timeout_s=1.0)
    last_s = time.monotonic() + STORED_WITHIN_S
    while not stored.wait(0.25):
        if call.agent.is_serving and time.monotonic() < last_s:
            continue
        raise IntakeFull("the result is not stored yet; send the burst again later, with the same key.")
    if reasons[0] is not None:
        raise DataError(reasons[0])
    return {"key": burst.key}


def acknowledge(call: Call) -> dict[str, Any]:
    """Acknowledge an alarm."""
    form: Acknowledgement = _form(Acknowledgement, call)
    agent: Agent = call.agent
    if agent.alarms.find(call.path["alarm"]) is None:
        raise NotFound(f"there is no alarm '{call.path['alarm'][:120]}'.")
    return agent.acknowledge(call.path["alarm"], author=form.author, comment=form.comment).to_json()


def commission(call: Call) -> dict[str, Any]:
    """Forget a sensor's baseline and learn it anew."""
    _form(Nothing, call)
    path = sensor_of(call)
    path.commission_anew()
    return path.baseline.summary()


def install_bundle(call: Call) -> Any:
    """Install a signed bundle."""
    agent: Agent = call.agent
    if not agent.config.models.trusted_keys:
        raise ConfigError(
            "no bundle can be installed over HTTP: the configuration names no key in models.trusted_keys."
        )
    if call.content_type != _RAW:
        return Json({"error": f"send a .sct archive as {_RAW}."}, status_code=415)
    store_folder = agent.bundles.store.folder
    store_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UPLOAD_PREFIX, dir=store_folder) as folder:
        archive = Path(folder) / "upload.sct"
        archive.write_bytes(call.body)
        try:
            return agent.bundles.install(archive, name=call.query["name"])
        except SecateurError as error:  # whoever sent it knows nothing of our folders
            error.args = (str(error).replace(str(archive), "the archive sent"), *error.args[1:])
            raise


def _slot(call: Call) -> ModelSlot:
    found: ModelSlot = call.agent.bundles.slot(call.path["model"])
    return found


def activate(call: Call) -> dict[str, Any]:
    """Put an installed version to work."""
    form: Activation = _form(Activation, call)
    slot = _slot(call)
    slot.activate(form.version)
    return slot.status()


def shadow(call: Call) -> dict[str, Any]:
    """Let an installed version run beside the active one, or none."""
    form: Shadow = _form(Shadow, call)
    slot = _slot(call)
    slot.shadow(form.version)
    return slot.status()


def self_test(call: Call) -> dict[str, Any]:
    """Check installed versions as at their installation."""
    form: SelfTest = _form(SelfTest, call)
    name = call.path["model"]
    return {"name": name, "versions": call.agent.bundles.store.self_test(name, form.version)}


def roll_back(call: Call) -> dict[str, Any]:
    """Put the former version to work again."""
    _form(Nothing, call)
    slot = _slot(call)
    slot.roll_back()
    return slot.status()


def _json_of(kind: type[_Form]) -> dict[str, dict[str, Any]]:
    return {"application/json": kind.model_json_schema()}


_BURST: dict[str, dict[str, Any]] = {
    "application/json": {
        "type": "object",
        "required": ["samples"],
        "properties": {"samples": {"type": "array", "items": {"type": "number"}}},
    },
    _RAW: {"type": "string", "format": "binary"},
}
ENDPOINTS = (
    Endpoint(
        path="/api/machines/{machine}/sensors/{sensor}/bursts",
        handler=upload,
        answer=answers.Taken,
        summary="Send a burst; answered when its result is stored",
        method="POST",
        body=_BURST,
    ),
    Endpoint(
        path="/api/machines/{machine}/sensors/{sensor}/commission",
        handler=commission,
        answer=answers.BaselineSummary,
        summary="Forget the baseline and learn it anew",
        method="POST",
        body=_json_of(Nothing),
    ),
    Endpoint(
        path="/api/alarms/{alarm}/acknowledge",
        handler=acknowledge,
        answer=answers.Alarm,
        summary="Acknowledge an alarm",
        method="POST",
        body=_json_of(Acknowledgement),
    ),
    Endpoint(
        path="/api/models",
        handler=install_bundle,
        answer=answers.Installed,
        summary="Install a signed bundle",
        method="POST",
        query=(Parameter(name="name", kind="string"),),
        body={_RAW: {"type": "string", "format": "binary"}},
    ),
    Endpoint(
        path="/api/models/{model}/shadow",
        handler=shadow,
        answer=answers.Model,
        summary="Let an installed version run beside the active one, or none",
        method="POST",
        body=_json_of(Shadow),
    ),
    Endpoint(
        path="/api/models/{model}/self_test",
        handler=self_test,
        answer=answers.SelfTested,
        summary="Check installed versions again: signature, checksums, golden windows",
        method="POST",
        body=_json_of(SelfTest),
    ),
    Endpoint(
        path="/api/models/{model}/activate",
        handler=activate,
        answer=answers.Model,
        summary="Put an installed version to work",
        method="POST",
        body=_json_of(Activation),
    ),
    Endpoint(
        path="/api/models/{model}/roll_back",
        handler=roll_back,
        answer=answers.Model,
        summary="Go back to the former version",
        method="POST",
        body=_json_of(Nothing),
    ),
)

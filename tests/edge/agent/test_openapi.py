"""The OpenAPI page against what the agent answers: requests made from the page, answers held to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent_machines import machine_settings
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.app import ENDPOINTS, create_app, openapi

schemathesis = pytest.importorskip("schemathesis")
TOKEN = {"Authorization": "Bearer secret-token"}
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
PLACE = {"machine": "pump", "sensor": "drive-end"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    (folder / "token").write_text("secret-token")
    http = {"token": {"file": "token"}, "requests_per_s": 1e6}
    agent = Agent(parse_config({"machines": [machine_settings()], "http": http}, folder / "agent.yaml"))
    agent.start()
    found = schemathesis.openapi.from_dict(openapi())
    found.app = create_app(agent)
    yield found
    agent.stop()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_what_the_page_promises(page, endpoint) -> None:
    operation = page[endpoint.path][endpoint.method]

    @settings(
        max_examples=5,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(), st.booleans())
    def promised(case, known: bool) -> None:
        if known:
            case.path_parameters = {
                name: PLACE.get(name, made) for name, made in case.path_parameters.items()
            }
        answer = case.call(headers=TOKEN)
        case.validate_response(answer, checks=CHECKS)
        assert "Traceback" not in answer.text

    promised()

"""What the pages print is well formed: descriptions, specifications and programs parse, links hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from secateur.edge.agent.config.file import parse_config, read_config
from secateur.signals.readers.description import Description
from secateur.structure.spec import ArchitectureSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        fenced = re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        found += [(page.name, content) for content in fenced]
    assert found
    return found


@pytest.mark.parametrize(("page", "content"), blocks("yaml"))
def test_descriptions_of_recordings_and_configurations_parse(page, content):
    value = yaml.safe_load(content)
    if "machines" in value:
        assert parse_config(value, ROOT / page).places()
        return
    assert Description.model_validate(value).recordings


def test_the_configuration_to_start_from_parses():
    config = read_config(ROOT / "deploy" / "agent.yaml")
    assert len(config.places()) == 2


@pytest.mark.parametrize(("page", "content"), blocks("json"))
def test_specifications_parse(page, content):
    assert ArchitectureSpec.model_validate(json.loads(content)).model_types


@pytest.mark.parametrize(("page", "content"), blocks("python"))
def test_programs_compile(page, content):
    compile(content, page, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, target

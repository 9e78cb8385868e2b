"""The dashboard while the agent is silent, in many tabs, and drawn anew under a finger; and its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent_machines import SAMPLES, feed, machine_settings
from chromium import Chromium
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.server import Server

pytestmark = pytest.mark.slow
MACHINES = ("pump", "fan", *(f"conveyor {number}" for number in range(8)))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    machines = [machine_settings() | {"name": name} for name in MACHINES]
    (tmp_path / "token").write_text("secret-token")
    http = {"port": 0, "requests_per_s": 1000, "token": {"file": "token"}}
    found = Agent(parse_config({"machines": machines, "http": http}, tmp_path / "agent.yaml"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def address(agent: Agent) -> Iterator[str]:
    server = Server(agent)
    server.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.stop()


HIDDEN = """Object.defineProperty(document, "hidden", { configurable: true, get: () => %s });
document.dispatchEvent(new Event("visibilitychange"))"""


ASKED = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/api/fleet')).length"


def test_tabs_do_not_block_each_other(address: str, browser: Chromium) -> None:
    """A browser has six connections to one address, for all its tabs together."""
    for _ in range(8):
        browser.call("Target.createTarget", url=address, newWindow=True)
    browser.open(address)
    browser.wait_for("document.getElementById('link-state').textContent === 'live'")
    browser.wait_for(f"{ASKED} > 2")
    assert not browser.run("document.querySelector('main').classList.contains('old')")


def test_a_page_that_nobody_sees_asks_nothing(address: str, browser: Chromium) -> None:
    browser.open(address)
    browser.wait_for(f"{ASKED} > 1")
    browser.run(HIDDEN % "true")
    before = browser.run(f"new Promise((done) => setTimeout(() => done({ASKED}), 1000))")
    browser.run("new Promise((done) => setTimeout(done, 4000))")
    assert browser.run(ASKED) == before
    browser.run(HIDDEN % "false")
    browser.wait_for(f"{ASKED} > {before}")


def test_a_new_alarm_is_said_aloud(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    said = "document.getElementById('announce').textContent"
    feed(agent, [make_burst(n) for n in range(20)])
    browser.open(address)
    browser.wait_for(f"{ASKED} > 0 && document.getElementById('link-state').textContent === 'live'")
    assert browser.run(said) == ""
    feed(agent, [make_burst(n, knocks=4.0) for n in range(20, 30)])
    browser.wait_for(f"{said} === 'Alarm: pump / drive-end, alarm'")
    agent.paths["pump", "drive-end"].commission_anew()
    feed(agent, [make_burst(30)])
    browser.wait_for(f"{said}.startsWith('Alarm ended: pump / drive-end')")


def test_an_agent_that_does_not_answer_is_told(address: str, browser: Chromium) -> None:
    """A cable that was pulled refuses no connection: requests go out and nothing comes back."""
    browser.open(address)
    browser.wait_for("document.querySelectorAll('.card').length === 10")
    browser.run("""window.fetch = (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))""")
    browser.wait_for("document.getElementById('trouble').innerText.includes('what is shown is old')")
    assert browser.run("document.querySelector('main').classList.contains('old')")


def test_a_sensor_forgets_a_lost_connection_when_it_is_back(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(n) for n in range(3)])
    browser.open(address + "#/machine/pump/drive-end")
    drawn = "document.getElementById('link-state').textContent === 'live'"
    browser.wait_for(drawn)
    assert "this sensor has no diagnosis by a model" in browser.run("document.body.innerText")
    browser.run(
        "window.kept = window.fetch; window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))"
    )
    browser.wait_for("document.getElementById('trouble').innerText.includes('what is shown is old')")
    assert "Failed to fetch" not in browser.run("document.body.innerText")  # of which no plant knows
    browser.run("window.fetch = window.kept")
    browser.wait_for(drawn)
    refused = "[...document.querySelectorAll('form [role=alert]')].map((found) => found.hidden)"
    browser.run("document.querySelector('form input').value = '99999'")
    browser.run("document.querySelector('form').requestSubmit()")
    browser.wait_for(f"{refused}.join() === 'false'")  # a band that is none is told beside it
    browser.run("document.querySelectorAll('form button')[1].click()")
    browser.wait_for(f"{refused}.join() === 'true'")


def test_a_click_is_not_lost_where_the_page_is_drawn_meanwhile(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(0)])
    browser.open(address)
    place = "[...document.querySelectorAll('.card h2 a')].find((a) => a.textContent === 'pump')"
    browser.wait_for(f"{place} !== undefined")
    x, y = browser.run(
        f"(() => {{ const box = {place}.getBoundingClientRect(); return [box.x + 9, box.y + 9]; }})()"
    )
    mouse = {"x": x, "y": y, "button": "left", "clickCount": 1}
    browser.run(f"window.pressed = {place}")
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **mouse)
    before = browser.run(ASKED)
    for number in range(1, 3):
        feed(agent, [make_burst(number)])
        browser.wait_for(f"{ASKED} >= {before + number}")
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **mouse)
    browser.wait_for("location.hash === '#/machine/pump'")


def test_machines_are_found_by_name_and_states_are_said_in_words(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    dead = [make_burst(n, machine="fan", samples=np.zeros(SAMPLES)) for n in range(3)]
    knocking = [make_burst(n, knocks=4.0 if n >= 20 else 0.0) for n in range(30)]
    feed(agent, dead + knocking)
    browser.open(address)
    browser.wait_for("document.querySelectorAll('.card').length === 10")
    assert "alarm: lines of the outer race (BPFO)" in browser.run("document.body.innerText")
    browser.run("document.querySelector('input[type=search]').focus()")
    browser.call("Input.insertText", text="PUMP")
    browser.wait_for("document.querySelectorAll('.card').length === 1")
    browser.call("Input.insertText", text="s")
    browser.wait_for("document.body.innerText.includes('No machine of that name')")

    browser.open(address + "#/machine/fan/drive-end")
    browser.wait_for("document.body.innerText.includes('dead: no signal at all')")
    browser.wait_for("document.querySelector('.waterfall').hidden")  # which would be as bright as could be

    browser.open(address + "#/machine/pump/drive-end")
    browser.wait_for("document.querySelector('.controls select').length > 5")
    names = browser.run("[...document.querySelector('.controls select').options].map((o) => o.text)")
    assert {"RMS", "crest factor", "lines of the inner race (BPFI)", "band 6 (2066 to 6000 Hz)"} <= set(names)
    assert "RMS in g" in browser.run("document.querySelector('main').textContent")
    assert browser.troubles == []


def test_bands_are_said_in_hertz_and_no_name_of_a_level_lies_on_another(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    noise = [np.random.default_rng(number).standard_normal(SAMPLES) for number in range(30)]
    louder = [samples * (1e-3 if number < 20 else 1.0) for number, samples in enumerate(noise)]
    feed(agent, [make_burst(number, machine="fan", samples=samples) for number, samples in enumerate(louder)])
    browser.open(address + "#/machine/fan/drive-end")
    browser.wait_for("document.querySelectorAll('.level-name').length === 3")
    assert "alarm: band 1 (10 to 29 Hz), band 2" in browser.run("document.querySelector('main').innerText")
    places = browser.run(
        "[...document.querySelectorAll('.level-name')].map((e) => e.getBoundingClientRect()).map((r) => "
        "[r.top, r.bottom]).sort((one, other) => one[0] - other[0])"
    )
    assert all(below[0] >= above[1] - 3 for above, below in pairwise(places))
    assert browser.troubles == []


def test_an_alarm_is_acknowledged_by_keyboard_alone(
    agent: Agent, address: str, browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(n, knocks=4.0 if n >= 20 else 0.0) for n in range(30)])
    browser.open(address + "#/alarms")
    browser.wait_for("document.querySelectorAll('.alarm').length === 1")
    held = "document.activeElement.textContent"
    while browser.run(held) != "Acknowledge":
        browser.press("Tab")
    browser.press("Enter")
    browser.wait_for("document.activeElement.name === 'author'")
    for number, text in enumerate(("Ada", "seen", "wrong")):
        browser.call("Input.insertText", text=text)
        if number < 2:
            browser.press("Tab")
    browser.press("Enter")
    browser.wait_for(
        "document.querySelector('dialog .trouble').textContent === 'That is not the token of the agent.'"
    )
    browser.run("document.activeElement.value = ''")
    browser.call("Input.insertText", text="secret-token")
    browser.press("Enter")
    browser.wait_for("document.body.innerText.includes('seen by Ada')")
    browser.wait_for("document.activeElement.id === 'content'")  # the button that was pressed is gone

"""The dashboard in a real browser: every view, an alarm acknowledged, keyboard, phone, a lost agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest

from agent_machines import feed, machine_settings
from chromium import Chromium
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.state.levels import Judgement, Level

SENSOR = "#/machine/pump/drive-end"


@pytest.fixture
def plant(tmp_path: Path, make_burst: Callable[..., Burst]) -> Iterator[tuple[Agent, Server]]:
    """An agent whose pump has an outer race that knocks, and a fan of which nothing has come."""
    (tmp_path / "token").write_text("secret-token")
    value = {
        "name": "hall-3",
        "machines": [machine_settings(), machine_settings() | {"name": "fan", "description": "<b>roof</b>"}],
        "http": {"port": 0, "token": {"file": "token"}, "requests_per_s": 1000},
    }
    agent = Agent(parse_config(value, tmp_path / "agent.yaml"))
    server = Server(agent)
    agent.start()
    server.start()
    feed(agent, [make_burst(number, knocks=4.0 if number >= 25 else 0.0) for number in range(40)])
    yield agent, server
    agent.stop()
    server.stop()


def _text(browser: Chromium) -> str:
    return browser.run("document.querySelector('main').innerText")


def _click(browser: Chromium, words: str) -> None:
    browser.run(f"[...document.querySelectorAll('button')].find((b) => b.textContent === '{words}').click()")


@pytest.mark.slow
def test_a_person_finds_the_fault_and_acknowledges_it(
    plant: tuple[Agent, Server], browser: Chromium, make_burst: Callable[..., Burst]
) -> None:
    agent, server = plant
    address = f"http://127.0.0.1:{server.port}/"
    browser.open(address)
    browser.wait_for("document.querySelectorAll('.card').length === 2")
    fleet = _text(browser)
    assert fleet.index("pump") < fleet.index("fan")  # the worst first
    assert "<b>roof</b>" in fleet  # text, no markup
    assert "2 machines: 1 alarm, 1 unknown" in fleet  # of the fan nothing is known
    assert "usable bursts" not in fleet  # the first one is waited for, which is no fault
    agent.paths["fan", "drive-end"].went_silent(agent.clock.now_s())
    browser.wait_for("document.body.innerText.includes('sensors without usable bursts: 1 of 1')")
    agent.paths["fan", "drive-end"].silent = False

    browser.open(address + SENSOR)
    browser.wait_for("document.querySelectorAll('.plot .curve').length === 4")
    page = _text(browser)
    assert "outer race (BPFO)" in page
    assert browser.run("document.querySelectorAll('.mark-bpfo title').length") >= 5
    assert browser.run("[...document.querySelectorAll('.level-alarm')].length") == 1
    browser.wait_for("document.querySelector('.waterfall').height === 40")

    # the band is adjusted; one that makes no sense is refused in words
    browser.run("""{ const [low, high] = document.querySelectorAll('form.controls input');
        low.value = 2000; high.value = 4000; low.form.requestSubmit(); }""")
    browser.wait_for("document.body.innerText.includes('latest burst, 2000 to 4000 Hz')")
    browser.run("""{ const [low, high] = document.querySelectorAll('form.controls input');
        low.value = 4000; high.value = 2000; low.form.requestSubmit(); }""")
    browser.wait_for("!document.querySelector('form.controls .trouble').hidden")

    # the cursor goes by keyboard and is said
    browser.run("document.querySelector('.plot').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.querySelector('.readout').textContent").endswith(" g")

    browser.open(address + "#/alarms")
    browser.wait_for("document.querySelectorAll('.alarm').length === 1")
    browser.run(
        "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Acknowledge').click()"
    )
    fields = {"author": "Ada", "comment": "bearing ordered <i>", "token": "secret-token"}
    browser.run(
        f"for (const [name, value] of Object.entries({json.dumps(fields)})) "
        "document.querySelector('dialog form').elements.namedItem(name).value = value"
    )
    browser.run("document.querySelector('dialog form').requestSubmit()")
    browser.wait_for("document.body.innerText.includes('seen by Ada')")
    (alarm,) = agent.alarms.latest()
    assert (alarm.acknowledged_by, alarm.comment) == ("Ada", "bearing ordered <i>")
    _click(browser, "Events")
    browser.wait_for("document.querySelectorAll('.thread li').length >= 2")
    browser.run("""URL.createObjectURL = (blob) => { window.saved = blob; return "#"; };
        HTMLAnchorElement.prototype.click = () => {}""")  # and nothing is saved on this machine
    _click(browser, "Export as CSV")
    browser.wait_for("window.saved !== undefined")
    saved = "window.saved.arrayBuffer().then((content) => [...new Uint8Array(content)])"
    table = bytes(browser.run(saved)).decode()
    assert table.startswith('\ufeff"id",')  # else Excel spoils every umlaut
    assert "bearing ordered <i>" in table

    for number in range(400):  # a sensor with a loose contact, over years
        level = Level.ALARM if number % 2 == 0 else Level.NORMAL
        agent.alarms.apply(
            make_burst(number, machine="fan", samples=np.zeros(64)),
            Judgement(level=level, causes={"rms": level} if level else {}, score=0.0),
            now_unix_s=1.7e9 + number,
            reopen_within_s=0.0,
        )
    browser.wait_for("document.body.innerText.includes('Only the latest 200 are shown')")
    assert browser.run("document.querySelectorAll('.alarm').length") == 200
    assert browser.run("document.getElementById('alarm-count').textContent") == "199+"  # one was seen

    # what the agent reports of itself leads to the agent
    browser.run("location.hash = '#/machine/hall-3/outbox'")
    browser.wait_for("document.querySelector('main h1').innerText === 'Agent'")

    for view, words in (
        ("models", "No sensor names a bundle"),
        ("agent", "still fit|nothing to send in"),
    ):
        browser.open(f"{address}#/{view}")
        browser.wait_for(f"/{words}/.test(document.querySelector('main').innerText)")
    # the browser notes the refused band too
    assert [trouble for trouble in browser.troubles if "/envelope?low_hz=4000" not in trouble] == []


@pytest.mark.slow
def test_no_line_is_drawn_where_nothing_was_measured_and_nothing_offered_that_is_not_there(
    plant: tuple[Agent, Server], browser: Chromium
) -> None:
    agent, server = plant
    indicators = agent.paths["pump", "drive-end"].view.result["indicators"]
    for start_unix_s in (1.71e9, 1.72e9):  # months without a burst; then one alone
        agent.trends.add("pump", "drive-end", start_unix_s, 0, indicators)
        agent.trends.add("pump", "drive-end", start_unix_s + 1.0, 0, indicators)
    agent.trends.add("pump", "drive-end", 1.73e9, 0, indicators)
    agent.paths["fan", "drive-end"].orders = None
    browser.open(f"http://127.0.0.1:{server.port}/{SENSOR}")
    trend = "[...document.querySelectorAll('figure')].find((f) => f.innerText.startsWith('Trend'))"
    browser.wait_for("document.body.innerText.includes('45 bursts')")
    path = browser.run(f"{trend}.querySelector('.curve').getAttribute('d')")
    assert (path.count("M"), path.count("L")) == (4, 41)
    assert browser.run(f"{trend}.querySelectorAll('.dot').length") == 1
    choice = "document.querySelector('fieldset').hidden"
    assert browser.run(choice) is False
    browser.run("location.hash = '#/machine/fan/drive-end'")
    browser.wait_for("document.querySelector('main').innerText.includes('No burst has come yet')")
    browser.wait_for(choice)
    assert "waiting" in _text(browser)
    assert "0 % of 20 bursts learned" in _text(browser)


@pytest.mark.slow
def test_a_refresh_stays_small_however_long_the_agent_runs(
    plant: tuple[Agent, Server], browser: Chromium
) -> None:
    agent, server = plant
    indicators = agent.paths["pump", "drive-end"].view.result["indicators"]
    for second in range(1200):
        agent.trends.add("pump", "drive-end", 1.71e9 + second, 0, indicators)
    browser.open(f"http://127.0.0.1:{server.port}/{SENSOR}")
    browser.wait_for("document.querySelectorAll('.plot .curve').length === 4")
    browser.wait_for("document.body.innerText.includes('1000 bursts')")
    asked = browser.run(
        "performance.getEntriesByType('resource').map((e) => [new URL(e.name).pathname, e.decodedBodySize])"
    )
    sizes = {path: size for path, size in asked if path.startswith("/api/machines/")}
    assert len(sizes) == 6
    assert sum(sizes.values()) < 250_000
    # times are round by the reader's clock, and have a date where the axis is longer than a day
    browser.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kolkata")
    said = (
        "import('/page/time_axis.js').then(({ timeTicks, timeWords }) =>"
        " [5 * 3600, 5 * 86400].map((span) => timeTicks(1.7e9, 1.7e9 + span, 5).map(timeWords(span))))"
    )
    hours, days = browser.run(said)
    assert hours == ["04:00:00", "05:00:00", "06:00:00", "07:00:00", "08:00:00"]
    assert days[0] == "Nov 16, 00:00"


FAINT = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((x) => x / 255)
    .map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, place) => sum + [0.2126, 0.7152, 0.0722][place] * x, 0);
  const ground = (e) => {
    const colour = getComputedStyle(e).backgroundColor;
    return parts(colour)[3] === 0 && e.parentElement ? ground(e.parentElement) : colour;
  };
  const contrast = (e) => {
    const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [light(ink), light(ground(e))].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => contrast(e) < 4.5).map((e) => e.outerHTML.slice(0, 80));
})()"""
"""Texts whose contrast is lower than WCAG 2 AA asks for (1.4.3)."""


@pytest.mark.slow
def test_texts_stand_out_and_headings_follow(plant: tuple[Agent, Server], browser: Chromium) -> None:
    _, server = plant
    levels = "[...document.querySelectorAll('h1, h2, h3')].map((e) => Number(e.tagName[1]))"
    for view, words in (
        ("", "fan"),
        (SENSOR, "Time in each"),
        ("#/alarms", "still there"),
        ("#/agent", "Sources"),
    ):
        browser.open(f"http://127.0.0.1:{server.port}/{view}")
        browser.wait_for(f"document.querySelector('main')?.innerText.includes('{words}')")
        found = browser.run(levels)
        assert found[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(found)), view
        for dark in (False, True):
            browser.resize(1280, 900, dark=dark)
            assert browser.run(FAINT) == []
    browser.run("document.querySelector('h1').style.color = '#444'")
    assert len(browser.run(FAINT)) == 1  # what is faint is found


@pytest.mark.slow
def test_phone_names_and_a_lost_agent(plant: tuple[Agent, Server], browser: Chromium) -> None:
    agent, server = plant
    browser.resize(360, 740, dark=True)
    browser.open(f"http://127.0.0.1:{server.port}/{SENSOR}")
    browser.wait_for("document.querySelectorAll('.plot .curve').length === 4")
    assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 27)"
    heights = "[...document.querySelectorAll('.plot .tick')].map((t) => t.getBoundingClientRect().height)"
    assert min(browser.run(heights)) >= 10  # as large as on a wide screen
    # everything that can be used has a name for a screen reader
    used = ("button", "link", "textbox", "spinbutton", "combobox", "image")
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        if node.get("role", {}).get("value") in used:
            assert node.get("name", {}).get("value"), node
    (alarm,) = agent.alarms.latest()
    agent.acknowledge(alarm.id, author="Ada", comment="x" * 300)
    browser.open(f"http://127.0.0.1:{server.port}/#/alarms")
    browser.wait_for("document.querySelectorAll('.alarm').length === 1")
    _click(browser, "Events")
    browser.wait_for("document.querySelector('.thread')?.innerText.includes('xxx')")
    assert browser.run("document.documentElement.scrollWidth") <= 360  # no word is too long for it
    server.stop()
    browser.wait_for("document.getElementById('trouble').innerText.includes('what is shown is old')")
    assert browser.run("document.querySelector('main').classList.contains('old')")


def test_the_page_loads_nothing_from_elsewhere(plant: tuple[Agent, Server]) -> None:
    _, server = plant
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        names = ["icon.svg", "style.css", "main.js", "sensor.js"]
        texts = {name: client.get(f"/page/{name}").text for name in names}
        assert all(f"/page/{name}" in page.text for name in names[:3])
        assert 'from "./plot.js"' in texts["sensor.js"]
        for name in ("../limits.py", "%2e%2e%2flimits.py", "limits.py", "x"):
            assert client.get(f"/page/{name}").status_code == 404
        assert client.post("/page/main.js").status_code == 405

"""Where no bar is shown, long work says once how long it will take."""

from __future__ import annotations

import pytest

from secateur.core import progress as told


@pytest.fixture
def log(monkeypatch, capsys):
    """What is written where the output is no terminal, with a clock that a test moves."""
    # not its file: to put that back would bind the console to the stream of this moment for ever
    monkeypatch.setattr(told.console, "quiet", False)
    clock = {"now": 0.0}
    monkeypatch.setattr(told.time, "monotonic", lambda: clock["now"])
    return capsys, clock


@pytest.mark.parametrize("done_before", [0, 40])
def test_long_work_tells_the_time_left_once(log, done_before):
    out, clock = log
    with told.progress("training", 100) as bar:
        bar.advance(done_before)
        for _ in range(30):
            clock["now"] += 4.0
            bar.advance()
    # two steps of 4 s; at that rate the rest takes 4 s a step
    left_min = round(4 * (100 - done_before - 2) / 60)
    expected = f"training ...\ntraining: {done_before + 2} of 100, about {left_min} min to go\n"
    assert out.readouterr().err == expected


def test_short_work_and_work_of_unknown_length_say_no_time(log):
    out, clock = log
    for total in (4, None):
        with told.progress("checking", total) as bar:
            for _ in range(4):
                clock["now"] += 6.0
                bar.advance()
    assert out.readouterr().err == "checking ...\nchecking ...\n"


def test_quiet_lasts_as_long_as_any_thread_wants_it_and_no_longer(log):
    first, second = told.quiet(), told.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert told.console.quiet
    second.__exit__(None, None, None)
    assert not told.console.quiet

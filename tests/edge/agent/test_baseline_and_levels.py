"""A machine's own baseline, and levels that vote and hold."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Commissioning, Limits, Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.state.baseline import Baseline
from secateur.edge.agent.state.levels import Level, Levels, limit_values


def _commissioning(**changed: object) -> Commissioning:
    return Commissioning.model_validate({"bursts": 100, **changed})


def test_scores_are_robust_deviations_of_the_logarithm() -> None:
    baseline = Baseline(_commissioning(bursts=1000))
    values = np.exp(0.2 * np.random.default_rng(0).standard_normal(1000))
    values[:50] = 100.0  # a few knocks while it was learned
    for value in values:
        assert not baseline.is_learned("all speeds")
        baseline.learn("all speeds", {"rms": float(value), "line_bpfo": 3.0})
    assert baseline.is_learned("all speeds")
    scores = baseline.scores("all speeds", {"rms": float(np.exp(1.0)), "line_bpfo": 8.0, "unknown": 1.0})
    assert scores["rms"] == pytest.approx(5.0, rel=0.1)
    assert scores["line_bpfo"] == pytest.approx(5.0)
    assert set(scores) == {"rms", "line_bpfo"}


def test_least_ratio_keeps_a_quiet_baseline_quiet() -> None:
    baseline = Baseline(_commissioning(bursts=8))
    for _ in range(8):
        baseline.learn("all speeds", {"rms": 1.0})
    assert baseline.scores("all speeds", {"rms": 1.4})["rms"] > 3
    assert baseline.scores("all speeds", {"rms": 1.4}, least_ratio=1.5)["rms"] == 0.0
    assert baseline.scores("all speeds", {"rms": 1.6}, least_ratio=1.5)["rms"] > 4


def test_a_limit_is_the_value_that_has_its_score() -> None:
    baseline = Baseline(_commissioning(bursts=8))
    for value in (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.0, 1.0):
        baseline.learn("all speeds", {"rms": value, "line_bpfo": 3 * value, "kurtosis": 3.0})
    limits = Limits.model_validate({"absolute": {"peak": {"warning": 2, "alarm": 5}}})
    found = limit_values(limits, baseline, "all speeds")
    for word, score in (("warning", limits.warning_score), ("alarm", limits.alarm_score)):
        values = {name: found[name][word] for name in ("rms", "line_bpfo")}
        assert baseline.scores("all speeds", values) == pytest.approx(dict.fromkeys(values, score))
    assert "alarm" not in found["kurtosis"]  # a shape warns at most
    assert found["peak"] == {"warning": 2, "alarm": 5}


def test_operating_bands_are_learned_apart(tmp_path: Path) -> None:
    baseline = Baseline(_commissioning(bursts=8, speed_bands_rpm=[1000, 2000]), tmp_path / "b.json")
    assert [baseline.band(rpm) for rpm in (500, 1000, 1999, 2000, None)] == [
        "0 to 1000 rpm",
        "1000 to 2000 rpm",
        "1000 to 2000 rpm",
        "from 2000 rpm",
        "speed unknown",
    ]
    for _ in range(8):
        baseline.learn("0 to 1000 rpm", {"rms": 1.0})
    again = Baseline(_commissioning(bursts=8, speed_bands_rpm=[1000, 2000]), tmp_path / "b.json")
    assert again.is_learned("0 to 1000 rpm")
    assert not again.is_learned("from 2000 rpm")
    other = Baseline(_commissioning(bursts=8, speed_bands_rpm=[1500]), tmp_path / "b.json")
    assert not other.is_learned("0 to 1500 rpm")


def test_many_bursts_take_bounded_memory() -> None:
    baseline = Baseline(_commissioning(bursts=50_000))
    for number in range(50_000):
        baseline.learn("all speeds", {"rms": 1.0 + (number % 10) / 10})
        if number % 5000 == 0:
            kept = baseline._learned.learning["all speeds"]["rms"]
            assert len(kept) <= 4096
    assert baseline.medians("all speeds")["rms"] == pytest.approx(1.45, abs=0.06)


@pytest.mark.parametrize("content", ['{"version": 1, "bands": 3}', '{"bands": {', "\0" * 99])
def test_a_damaged_file_is_told_kept_and_never_learned_over(content: str, tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    file.write_text(content)
    baseline = Baseline(_commissioning(bursts=8), file)
    assert "is not a baseline" in baseline.trouble
    for _ in range(20):
        baseline.learn("all speeds", {"rms": 1.0})
    baseline.save()
    assert not baseline.is_learned("all speeds")
    assert file.read_text() == content
    baseline.forget()
    baseline.learn("all speeds", {"rms": 1.0})
    assert (baseline.trouble, baseline.progress("all speeds")) == ("", 1 / 8)


def _judged(levels: Levels, scores: list[float]) -> list[Level]:
    return [
        levels.judge({}, {"rms": score}, medians={}, measured_s=float(n)).level
        for n, score in enumerate(scores)
    ]


LIMITS = Limits.model_validate(
    {
        "warning_score": 5,
        "alarm_score": 10,
        "raise_after": 2,
        "raise_window": 3,
        "clear_after": 3,
        "hysteresis": 0.5,
    }
)


def test_one_spike_raises_nothing() -> None:
    assert _judged(Levels(LIMITS), [0, 20, 0, 0, 20, 0, 0]) == [Level.NORMAL] * 7


def test_raised_by_votes_and_left_after_quiet_bursts() -> None:
    found = _judged(Levels(LIMITS), [6, 6, 12, 12, 4, 2, 2, 2, 2])
    expected = [0, 1, 1, 2, 2, 2, 2, 0, 0]
    assert [int(level) for level in found] == expected


def test_what_a_burst_cannot_be_judged_by_keeps_its_level() -> None:
    levels = Levels(LIMITS)
    for number in range(2):
        levels.judge(
            {"line_bpfo": 30.0, "rms": 1.0}, {"line_bpfo": 12.0, "rms": 0.0}, medians={}, measured_s=number
        )
    for number in range(50):  # the speed is unknown: no lines; then the band is not learned: no scores
        values = {"rms": 1.0} if number < 25 else {"rms": 1.0, "line_bpfo": 2.0}
        found = levels.judge(values, {}, medians={}, measured_s=number)
        assert found.causes == {"line_bpfo": Level.ALARM}
    for number in range(3):
        found = levels.judge({"line_bpfo": 2.0}, {"line_bpfo": 0.0}, medians={}, measured_s=number)
    assert found.level is Level.NORMAL


def test_shape_alone_warns_and_energy_alarms() -> None:
    for name, level in (
        ("kurtosis", Level.WARNING),
        ("crest_factor", Level.WARNING),
        ("band_3", Level.ALARM),
    ):
        levels = Levels(LIMITS)
        for number in range(4):
            found = levels.judge({}, {name: 50.0}, medians={}, measured_s=number).level
        assert found is level


def test_hysteresis_holds_a_level_that_hovers() -> None:
    found = _judged(Levels(LIMITS), [6, 6] + [4.0] * 20)
    assert set(found[1:]) == {Level.WARNING}


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_a_level_never_flickers(scores: list[float]) -> None:
    found = _judged(Levels(LIMITS), scores)
    for before, after in pairwise(found):
        assert after >= before or after is Level.NORMAL


def test_absolute_limits_need_no_baseline() -> None:
    limits = LIMITS.model_copy(
        update={"absolute": Limits.model_validate({"absolute": {"rms": {"warning": 1, "alarm": 2}}}).absolute}
    )
    levels = Levels(limits)
    found = [levels.judge({"rms": 3.0}, {}, medians={}, measured_s=n).level for n in range(2)]
    assert found == [Level.NORMAL, Level.ALARM]


def test_rate_of_change_warns_before_the_level() -> None:
    limits = LIMITS.model_copy(update={"rise_per_hour": {"rms": 1.0}})
    levels = Levels(limits)
    slow, fast = [], []
    for minute in range(40):
        value = 1.0 + minute / 60 * 2.0
        fast.append(
            levels.judge({"rms": value}, {"rms": 1.0}, medians={"rms": 1.0}, measured_s=60.0 * minute)
        )
    other = Levels(limits)
    for minute in range(40):
        value = 1.0 + minute / 60 * 0.5
        slow.append(other.judge({"rms": value}, {"rms": 1.0}, medians={"rms": 1.0}, measured_s=60.0 * minute))
    assert fast[-1].level is Level.WARNING
    assert all(entry.level is Level.NORMAL for entry in slow)


def test_a_backlog_rises_no_faster_than_the_machine_did(
    machine: Machine, make_burst: Callable[..., Burst], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten hours of bursts that waited at the broker are handed over in ten minutes."""
    now = [1.8e9]
    monkeypatch.setattr("time.time", lambda: now[0])
    limits = machine.sensors[0].limits.model_copy(update={"rise_per_hour": {"rms": 0.5}, "alarm_score": 1e9})
    limits = limits.model_copy(update={"warning_score": 1e8})
    sensor = machine.sensors[0].model_copy(update={"limits": limits})

    def worst(measured: Callable[[int], float]) -> Level:
        path, found = SensorPath(machine, sensor), Level.NORMAL
        for number in range(620):
            now[0] = 1.8e9 + number
            burst = make_burst(number % 20, measured_unix_s=measured(number))
            louder = replace(burst, samples=burst.samples * (1.0 + max(0, number - 20) / 600))
            judgement = path.process(louder, running_s=float(number)).judgement
            found = max(found, judgement.level)
        return found

    assert worst(lambda number: 1.8e9 - 36_000 + 60 * number) is Level.NORMAL  # doubled in ten hours
    assert worst(lambda number: now[0]) is Level.WARNING  # doubled in ten minutes


def test_bursts_out_of_order_and_clocks_that_are_set_tell_of_no_rise() -> None:
    levels = Levels(LIMITS.model_copy(update={"rise_per_hour": {"rms": 1.0}}))

    def level(measured_s: float, value: float) -> Level:
        return levels.judge({"rms": value}, {"rms": 1.0}, medians={"rms": 1.0}, measured_s=measured_s).level

    for minute in range(30):
        assert level(60.0 * minute, 1.0) is Level.NORMAL
        assert level(60.0 * minute - 30.0, 5.0) is Level.NORMAL
    for minute in range(30):  # the clock of the agent was a day ahead until now
        assert level(60.0 * minute - 86_400.0, 1.2) is Level.NORMAL
    found = [level(60.0 * minute - 86_400.0, 1.2 + (minute - 30) / 20) for minute in range(30, 50)]
    assert found[-1] is Level.WARNING

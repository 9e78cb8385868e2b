"""Bundles side by side: refused, tried in the shadow, activated, rolled back, with no burst missed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent_machines import RATE_HZ, feed, machine_settings
from secateur.bundle.signature import create_key
from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.config.machines import Diagnosis as DiagnosisSettings
from secateur.edge.agent.config.settings import Models as ModelSettings
from secateur.edge.agent.models.opinion import Opinion, ask, weigh
from secateur.edge.agent.models.slot import ModelSlot
from secateur.edge.agent.models.store import Choice, Installed, ModelStore
from secateur.edge.judgement import Judgement
from secateur.edge.runtime import Diagnosis
from secateur.edge.windows import REASONS
from secateur.signals.envelope_rule import RuleCall


def _opinion(label: str) -> Opinion:
    return Opinion(
        label=label,
        reason="",
        confidence=0.9,
        probabilities={},
        agrees=None,
        model="m",
        version=label,
        latency_ms=0.0,
    )


class _Store:
    """A store of pretended versions, of which some do not open."""

    def __init__(self, choice: Choice, broken: tuple[str, ...] = ()) -> None:
        self.chosen, self.broken = choice, broken

    def choice(self, _: str) -> Choice:
        return self.chosen

    def choose(self, _: str, choice: Choice) -> None:
        self.chosen = choice

    def versions(self, _: str) -> list[str]:
        return [v for v in (self.chosen.active, *self.chosen.former) if v]

    def open(self, _: str, version: str) -> Any:
        if version in self.broken:
            raise ConfigError("damaged")
        manifest = SimpleNamespace(name="m", parameters=1, format="onnx", precision="float32", verdict=None)
        signature = SimpleNamespace(state="trusted", key_id="k")
        return SimpleNamespace(
            version=version,
            labels=("a", "b"),
            window_s=1.0,
            manifest=manifest,
            signature=signature,
            golden_max_abs_diff=0.0,
        )

    def open_best(self, name: str) -> Any:
        if self.chosen.active is None:
            raise ConfigError("none is installed")
        return self.open(name, self.chosen.active), []


A, B, C = "a" * 12, "b" * 12, "c" * 12


def _slot(choice: Choice, **settings: Any) -> tuple[ModelSlot, _Store]:
    store = _Store(choice)
    return ModelSlot("m", store, ModelSettings.model_validate(settings)), store  # type: ignore[arg-type]


def _installed(store: _Store, version: str) -> Installed:
    return Installed(name="m", version=version, runtime=store.open("m", version))


def test_a_failing_version_is_replaced_and_no_burst_goes_without_an_answer() -> None:
    slot, store = _slot(Choice(active=B, former=(A,)), roll_back_after=3)
    answers = []

    def question(runtime: Any) -> Opinion:
        if runtime.version == B:
            raise RuntimeError("out of order")
        return _opinion(runtime.version)

    for _ in range(5):
        answers.append(slot.ask(question).label)
    assert answers == [A] * 5
    assert store.chosen.active == A
    assert "failed 3 times" in slot.rolled_back[0]


def test_a_single_failure_rolls_nothing_back() -> None:
    slot, store = _slot(Choice(active=B, former=(A,)), roll_back_after=3)
    failures = [True, False, True, False]

    def question(runtime: Any) -> Opinion:
        if runtime.version == B and failures.pop(0):
            raise RuntimeError
        return _opinion(runtime.version)

    assert [slot.ask(question).label for _ in range(4)] == [A, B, A, B]
    assert store.chosen.active == B


def test_a_new_version_runs_in_the_shadow_and_is_activated_when_it_agrees() -> None:
    slot, store = _slot(Choice(active=A), shadow_bursts=4, least_agreement=0.75, activate="after_shadow")
    assert slot.add(_installed(store, B)) == "candidate"
    disagree = [True, False, False, False]

    def question(runtime: Any) -> Opinion:
        return _opinion("other" if runtime.version == B and disagree.pop(0) else "same")

    for _ in range(3):
        assert slot.ask(question).label == "same"
    assert slot.status()["shadow"]["agreement"] == pytest.approx(2 / 3)
    slot.ask(question)
    assert store.chosen == Choice(active=B, former=(A,))
    slot.roll_back()
    assert store.chosen.active == A


def test_a_candidate_that_disagrees_or_fails_stays_in_the_shadow() -> None:
    slot, store = _slot(Choice(active=A), shadow_bursts=2, activate="after_shadow")
    slot.add(_installed(store, B))

    def question(runtime: Any) -> Opinion:
        if runtime.version == B:
            raise RuntimeError
        return _opinion("x")

    for _ in range(4):
        slot.ask(question)
    assert store.chosen.active == A
    assert slot.status()["shadow"]["failures"] == 4
    slot.activate(B)  # by hand it can still be
    assert store.chosen.active == B


def _found(rule: str | None = None, reasons: tuple[str, ...] = (), **probabilities: float) -> Diagnosis:
    label = max(probabilities, key=probabilities.get)
    judgement = Judgement(
        label=label,
        answer=None if reasons else label,
        reasons=reasons,
        confidence=probabilities[label],
        rule=RuleCall(label=rule, reason="lines"),
    )
    return Diagnosis(
        label=label,
        probabilities=probabilities,
        windows=1,
        latency_ms=1.0,
        model="m",
        version=A,
        judgement=judgement,
        shaft_rate_hz=25.0,
    )


SETTINGS = DiagnosisSettings(least_confidence=0.7, disagreement=0.5)


def test_low_confidence_disagreement_and_doubts_abstain() -> None:
    assert weigh(_found(normal=0.8, ball=0.2), SETTINGS).label == "normal"
    low = weigh(_found(normal=0.6, ball=0.4), SETTINGS)
    assert (low.label, low.agrees) == (None, None)
    agreed = weigh(_found(rule="ball", normal=0.05, ball=0.95), SETTINGS)
    assert (agreed.label, agreed.confidence, agreed.agrees) == ("ball", 0.95, True)
    torn = weigh(_found(rule="outer_race", normal=0.05, ball=0.95), SETTINGS)
    assert (torn.label, torn.agrees) == (None, False)
    assert torn.confidence == pytest.approx(0.475)
    assert "fault lines say outer_race" in torn.reason
    unlike = weigh(_found(reasons=("unlike any",), normal=0.99, ball=0.01), SETTINGS)
    assert (unlike.label, unlike.reason) == (None, "unlike any")


class _Broken:
    """A model whose output is not finite."""

    least_s, version = 0.1, B

    def diagnose(self, *_: object, **__: object) -> Diagnosis:
        raise DataError(f"the waveform is output not finite: {REASONS['output not finite']}.")


def test_output_that_is_not_finite_is_a_failure_of_the_model() -> None:
    with pytest.raises(FloatingPointError):
        ask(
            _Broken(),  # type: ignore[arg-type]
            np.ones(4096, dtype=np.float32),
            sampling_rate_hz=RATE_HZ,
            shaft_rate_hz=None,
            fault_orders=None,
            settings=SETTINGS,
        )


@pytest.fixture
def agent_with_bundle(tmp_path: Path, bundle_folder: Path) -> Callable[[], Agent]:
    store = ModelStore(tmp_path / "state" / "models")
    installed = store.install(bundle_folder)
    store.choose(installed.name, Choice(active=installed.version))
    sensor = {"bundle": installed.name, "burst_samples": 12_000, "indicators": {"bands": 3}}
    config = parse_config(
        {"machines": [machine_settings(**sensor)], "http": {"port": 0}}, tmp_path / "agent.yaml"
    )
    return lambda: Agent(config)


def _burst(number: int, length: int = 12_000) -> Burst:
    samples = np.random.default_rng(number).standard_normal(length).astype(np.float32)
    return Burst(machine="pump", sensor="drive-end", samples=samples, measured_unix_s=1.7e9, number=number)


def test_results_name_the_model_and_carry_evidence(agent_with_bundle: Callable[[], Agent]) -> None:
    agent = agent_with_bundle()
    agent.start()
    feed(agent, [_burst(1)])
    result = agent.paths["pump", "drive-end"].view.result
    (slot,) = agent.bundles.slots.values()
    assert result["diagnosis"]["version"] == slot.runtime.version
    assert sum(result["diagnosis"]["probabilities"].values()) == pytest.approx(1.0, abs=1e-3)
    assert "bpfo" in result["evidence"]["lines"]
    agent.stop()


def test_a_damaged_active_bundle_rolls_back_at_the_start(
    agent_with_bundle: Callable[[], Agent], tmp_path: Path
) -> None:
    (name,) = ModelStore(tmp_path / "state" / "models").names()
    folder = tmp_path / "state" / "models" / name
    (good,) = folder.glob("*.sct")
    bad = folder / f"{'0' * 12}.sct"
    content = bytearray(good.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bad.write_bytes(bytes(content))
    (folder / "active.json").write_text(json.dumps({"active": "0" * 12, "former": [good.stem]}))
    agent = agent_with_bundle()
    (slot,) = agent.bundles.slots.values()
    assert slot.runtime.version == good.stem
    assert slot.rolled_back
    assert json.loads((folder / "active.json").read_text())["active"] == good.stem
    agent.stop()


def test_a_bad_bundle_is_refused_and_changes_nothing(tmp_path: Path, bundle_folder: Path) -> None:
    store = ModelStore(tmp_path / "models")
    bad = tmp_path / "bad"
    shutil.copytree(bundle_folder, bad)
    model = next(path for path in bad.iterdir() if path.suffix == ".onnx")
    model.write_bytes(model.read_bytes()[:-10])
    for candidate in (bad, tmp_path / "none", Path(__file__)):
        with pytest.raises(SecateurError):
            store.install(candidate)
    assert store.names() == []


def test_an_unfit_bundle_is_refused_unless_told_otherwise(tmp_path: Path, bundle_folder: Path) -> None:
    unfit = tmp_path / "unfit"
    shutil.copytree(bundle_folder, unfit)
    manifest = json.loads((unfit / "manifest.json").read_text())
    manifest["verdict"] = {"fit_for_use": False, "reasons": ["below the noise floor"]}
    (unfit / "manifest.json").write_text(json.dumps(manifest))
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ConfigError, match=r"not fit for use: below the noise floor.*models\.accept_unfit"):
        store.install(unfit)
    assert store.names() == []
    lenient = ModelStore(tmp_path / "models", accept_unfit=True)
    installed = lenient.install(unfit)
    assert lenient.open(installed.name, installed.version).version == installed.version
    with pytest.raises(ConfigError, match="no version"):  # what was let in once is asked again at each start
        store.open_best(installed.name)


def test_a_reload_takes_new_settings_of_models(
    agent_with_bundle: Callable[[], Agent], tmp_path: Path
) -> None:
    agent = agent_with_bundle()
    (name,) = agent.bundles.slots
    create_key(tmp_path / "private.pem", tmp_path / "public.pem")
    models = agent.config.models.model_copy(update={"trusted_keys": (tmp_path / "public.pem",)})
    agent.reload(agent.config.model_copy(update={"models": models}))
    assert agent.bundles.slots[name].runtime is None  # its bundle is not signed
    assert "not signed" in agent.bundles.slots[name].trouble
    agent.stop()


def test_an_unsigned_bundle_is_refused_where_keys_are_trusted(tmp_path: Path, bundle_folder: Path) -> None:
    create_key(tmp_path / "private.pem", tmp_path / "public.pem")
    store = ModelStore(tmp_path / "models", trusted=[tmp_path / "public.pem"])
    with pytest.raises(SecateurError, match="not signed"):
        store.install(bundle_folder)


def test_the_diagnoser_that_comes_with_the_package(tmp_path: Path) -> None:
    sensor = {"bundle": "foundation", "burst_samples": 16_384}
    value = {"machines": [machine_settings(**sensor)], "http": {"port": 0}}
    agent = Agent(parse_config(value, tmp_path / "agent.yaml"))
    result = agent.paths["pump", "drive-end"].process(_burst(1, 16_384), running_s=0.0).result
    assert result["diagnosis"]["model"] == "foundation micro"
    assert set(result["diagnosis"]["probabilities"]) == {"normal", "inner_race", "outer_race", "ball"}
    assert agent.bundles.store.choice("foundation").active == result["diagnosis"]["version"]
    agent.stop()


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 80])
def test_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ConfigError):
        store.open(name, "0" * 12)
    with pytest.raises(ConfigError):
        store.open("m", name)


def test_a_burst_that_is_too_short_for_the_model(agent_with_bundle: Callable[[], Agent]) -> None:
    agent = agent_with_bundle()
    path = agent.paths["pump", "drive-end"]
    (slot,) = agent.bundles.slots.values()
    length = int(0.5 * slot.runtime.window_s * RATE_HZ)
    path.sensor = path.sensor.model_copy(update={"burst_samples": length})
    result = path.process(_burst(1, length), running_s=0.0).result
    assert result["quality"]["usable"]
    assert result["diagnosis"]["label"] is None
    assert "the model needs" in result["diagnosis"]["reason"]
    agent.stop()


def test_what_a_killed_installation_left_is_removed_and_nothing_else(
    tmp_path: Path, bundle_folder: Path
) -> None:
    store = ModelStore(tmp_path / "models")
    installed = store.install(bundle_folder)
    leftovers = [store.folder / ".upload-x1", store.folder / installed.name / ".install-x2"]
    for folder in leftovers:
        folder.mkdir()
        (folder / "large.sct").write_bytes(b"x")
    store.remove_leftovers()
    assert not any(folder.exists() for folder in leftovers)
    assert store.open(installed.name, installed.version).version == installed.version
    ModelStore(tmp_path / "none").remove_leftovers()

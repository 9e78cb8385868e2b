"""A fault that begins late is not averaged away: a stretch of damage keeps "normal" from being the answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from secateur.cli.app import run
from secateur.edge import Runtime
from secateur.edge.window_diagnoses import WindowDiagnoses
from secateur.workflow.diagnosis_stretch import StretchFinder

LABELS = ("normal", "inner_race", "outer_race", "ball")
WINDOW_S = 1.0


def heard(places, *, sure=0.95, hop_s=WINDOW_S, missing=()):
    """Return what is found where window n names class ``places[n]``."""
    probabilities = np.full((len(places), len(LABELS)), (1.0 - sure) / 3)
    probabilities[np.arange(len(places)), places] = sure
    probabilities[list(missing)] = np.nan
    finder = StretchFinder(LABELS, window_s=WINDOW_S, least_confidence=0.8)
    starts_s = hop_s * np.arange(len(places))
    for part in np.array_split(np.arange(len(places)), 3):
        finder.add(starts_s[part], probabilities[part])
    return finder.within_normal(np.nanmean(probabilities, axis=0))


def test_a_long_stretch_of_damage_is_named_with_its_time():
    stretch = heard([0] * 40 + [2] * 13 + [3] * 2 + [0] * 5, missing=[45])
    assert (stretch.start_s, stretch.stop_s) == (40.0, 55.0)
    assert stretch.confidence == pytest.approx(0.95)
    assert "from 40 to 55 s 12 of 14 windows in a row name outer race, with 95 % on average" in (
        stretch.to_reason()
    )
    assert heard([0] * 40 + [1] * 10).start_s == 40.0


@pytest.mark.parametrize(
    ("places", "options"),
    [
        ([0] * 40 + [2] * 9, {}),
        ([0] * 40 + [2] * 5 + [0] + [2] * 5, {}),
        ([0] * 40 + [2] * 12, {"sure": 0.7}),
        ([0] * 40 + [2] * 12, {"hop_s": 0.5}),
        ([2] * 40 + [0] * 12, {}),
        ([2] * 40 + [1] * 12, {}),
    ],
    ids=["short", "broken", "not sure", "overlapping", "mean is damage", "normal nowhere"],
)
def test_what_is_no_stretch_of_damage_in_a_normal_recording(places, options):
    assert heard(places, **options) is None


@pytest.mark.parametrize(("faulty", "told"), [(150, True), (5, False)])
def test_diagnose_does_not_call_a_recording_normal_that_ends_in_damage(
    bundle_folder, tmp_path, capsys, monkeypatch, faulty, told
):
    labels = Runtime(bundle_folder).labels
    damage = next(n for n, label in enumerate(labels) if label != "normal")
    places = np.array([labels.index("normal")] * 400 + [damage] * faulty)
    probabilities = np.where(np.arange(len(labels)) == places[:, None], 0.97, 0.01).astype(np.float32)

    def stream(self, source, **_options):
        length = self.window_s
        yield WindowDiagnoses(
            starts_s=length * np.arange(len(places)),
            probabilities=probabilities,
            usability=("usable",) * len(places),
            labels=tuple(labels[place] for place in places),
            energies=np.full(len(places), 5.0),
            rms=np.ones(len(places)),
        )

    monkeypatch.setattr(Runtime, "stream", stream)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal(512 * len(places)))
    options = ["--sampling-rate", "12000", "--bundle", str(bundle_folder), "--out", str(tmp_path / "out")]
    assert run(["diagnose", str(tmp_path / "x.npy"), *options, "--json"]) == 0
    judgement = json.loads(capsys.readouterr().out)["judgement"]
    assert judgement["label"] == "normal"
    reasons = [reason for reason in judgement["reasons"] if "damage is heard in a part" in reason]
    assert bool(reasons) == told
    assert judgement["answer"] is None or not told

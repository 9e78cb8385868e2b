"""``secateur init`` writes what the files say, marks the rest, and check refuses until it is completed."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from secateur.cli.app import run
from secateur.signals.readers.open import load_recordings

RATE, N = 12_000, 9000
ACC, OTHER = np.random.default_rng(2).standard_normal((2, N))


@pytest.fixture
def folder(tmp_path):
    plant = tmp_path / 'pl"ant [x]'
    plant.mkdir()
    rows = "\n".join(
        f"{n / RATE:.9f},{a:.6f},{b:.6f}" for n, (a, b) in enumerate(zip(ACC, OTHER, strict=True))
    )
    (plant / "a.csv").write_text("time,DE,FE\n" + rows)
    soundfile.write(plant / "b [# 1].wav", ACC / 8, RATE)
    savemat(plant / "c.mat", {"acc": ACC, "rpm": 1490.0, "fs": 12_000.0})
    np.save(plant / "d.npy", ACC)
    (plant / "broken.npz").write_bytes(b"PK no archive")
    return plant


def said(capsys, *arguments):
    code = run([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_draft_is_refused_until_it_is_completed_and_read_then(folder, capsys):
    code, told = said(capsys, "init", folder)
    assert code == 0
    assert told["files"] == 4
    assert "broken.npz" in told["left_out"][0]
    draft = (folder / "recordings.yaml").read_text()
    assert draft.count("FILL_IN") == told["to_fill_in"] + 1, "one stands in the comment that explains it"
    assert "0.75 s, 12000 Hz by the column 'time'; besides time" in draft
    assert 'columns: [FILL_IN]  # of "DE", "FE"' in draft
    assert "speed_rpm: 1490  # as the file says" in draft
    code, told = said(capsys, "data", "check", folder)
    assert code == 2
    line = draft.splitlines().index("sampling_rate_hz: FILL_IN  # of the files that do not state it") + 1
    assert f"is not completed: line {line}: sampling_rate_hz: FILL_IN; line" in told["error"]

    completed = draft.replace("sampling_rate_hz: FILL_IN", f"sampling_rate_hz: {RATE}")
    completed = completed.replace("bearing: FILL_IN", "bearing: 6205").replace("[FILL_IN]", "[FE]")
    completed = completed.replace("label: FILL_IN", "label: normal").replace(
        "speed_rpm: FILL_IN", "speed_rpm: 1500"
    )
    (folder / "recordings.yaml").write_text(re.sub(r"group: FILL_IN", "group: g", completed))
    code, told = said(capsys, "data", "check", folder)
    assert "is not completed" not in str(told)
    recordings = load_recordings(folder)
    assert [recording.recording_id for recording in recordings] == ["a", "b [# 1]", "c", "d"]
    assert {recording.sampling_rate_hz for recording in recordings} == {RATE}
    assert recordings[2].shaft_speed_rpm == 1490
    np.testing.assert_allclose(recordings[0].read()[0], OTHER, atol=1e-5)


def test_a_description_is_not_overwritten_unasked(folder, capsys):
    (folder / "recordings.yml").write_text("mine")
    code, told = said(capsys, "init", folder)
    assert code == 2
    assert "recordings.yml exists; give --overwrite" in told["error"]
    assert said(capsys, "init", folder, "--overwrite")[0] == 0
    assert (folder / "recordings.yml").read_text().startswith("# Replace every FILL_IN")


def test_a_folder_without_recordings(tmp_path, capsys):
    for path, message in ((tmp_path, "holds no waveform file"), (tmp_path / "none", "is no folder")):
        code, told = said(capsys, "init", path)
        assert (code, message in told["error"]) == (2, True)

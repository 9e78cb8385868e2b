"""``secateur diagnose FOLDER`` leaves no recording out in silence, and does not read its own results."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from secateur.cli.app import run
from secateur.core.errors import DataError
from secateur.signals.readers.open import load_recordings
from secateur.workflow.diagnosis_subjects import Given, find_subjects

RATE, N = 12_000, 512 * 20
DESCRIPTION = "dataset: lab\nrecordings:\n  - {file: x.wav, label: normal}\n"


def write_wav(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(N), RATE)
    return path


def described(folder):
    write_wav(folder / "x.wav", 1)
    (folder / "recordings.yaml").write_text(DESCRIPTION)


def found_in(path, **given):
    unreadable = []
    subjects = find_subjects([path], Given(**given), passed_over=unreadable)
    return [subject.recording.recording_id for subject in subjects], unreadable


@pytest.mark.parametrize("lab", ["lab", "deep/er/lab"])
def test_files_beside_a_described_folder_are_diagnosed(tmp_path, lab):
    described(tmp_path / lab)
    write_wav(tmp_path / "night1.wav")
    write_wav(tmp_path / "deep/night2.wav")
    assert found_in(tmp_path) == (["x", "deep/night2", "night1"], [])
    (tmp_path / lab / "x.wav").unlink()
    names, (broken,) = found_in(tmp_path)
    assert (names, broken.name) == (["deep/night2", "night1"], lab)
    assert "1 of 1 files are missing" in broken.reason or "x.wav is missing" in broken.reason


def test_files_that_a_description_leaves_out_are_named(tmp_path, bundle_folder, capsys):
    described(tmp_path / "lab")
    write_wav(tmp_path / "lab/more/y.wav")
    (tmp_path / "lab/readme.txt").write_text("hello\nall\n")
    (tmp_path / "lab/tests.csv").write_text("file,operator\nx.wav,Ada\n")
    names, (left,) = found_in(tmp_path / "lab")
    assert (names, left.name) == (["x"], "more/y")
    assert "y.wav lies beside the recordings that" in left.reason
    assert "add it there, move it elsewhere, or give the file by itself" in left.reason
    options = ["--bundle", str(bundle_folder), "--out", str(tmp_path / "out"), "--json"]
    assert run(["diagnose", str(tmp_path / "lab"), *options]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["recording"] for each in told["recordings"]] == ["x", "more/y"]
    with pytest.raises(DataError, match="is none of them"):
        find_subjects([tmp_path / "lab"], Given())
    assert found_in(tmp_path / "lab/recordings.yaml") == (["x"], [])


def test_files_beside_one_that_is_named_as_a_public_set_are_diagnosed(tmp_path, bundle_folder, capsys):
    np.savetxt(tmp_path / "n1000_1.csv", np.random.default_rng(0).standard_normal(N))
    write_wav(tmp_path / "pump.wav")
    assert found_in(tmp_path) == (["jnu_n1000_1", "pump"], [])
    asked = ["--bundle", str(bundle_folder), "--out", str(tmp_path / "out"), "--overwrite"]
    assert run(["diagnose", str(tmp_path), *asked]) == 0
    assert "1 recording read by the layout jnu" in capsys.readouterr().out
    assert run(["diagnose", str(tmp_path / "n1000_1.csv"), *asked]) == 0
    assert "; layout jnu; " in " ".join(capsys.readouterr().out.split())


def test_links_to_folders_are_followed_once(tmp_path):
    write_wav(tmp_path / "elsewhere/pump.wav")
    plant = tmp_path / "plant"
    write_wav(plant / "night.wav")
    (plant / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (plant / "round").symlink_to(plant, target_is_directory=True)
    assert found_in(plant) == (["linked/pump", "night"], [])


@pytest.mark.parametrize("files", [1, 2])
def test_a_result_inside_the_folder_is_not_diagnosed(tmp_path, bundle_folder, capsys, files):
    for number in range(files):
        write_wav(tmp_path / f"rec/pump{number}.wav", number)
    asked = ["diagnose", str(tmp_path / "rec"), "--bundle", str(bundle_folder)]
    asked += ["--out", str(tmp_path / "rec/diagnosis"), "--json"]
    for _ in range(2):
        assert run([*asked, "--overwrite"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert len(told.get("recordings", [told])) == files
    shutil.copy(tmp_path / "rec/pump0.wav", tmp_path / "rec/diagnosis/pump.wav")
    assert len(found_in(tmp_path / "rec")[0]) == files


def test_another_table_called_as_the_archives_index_is_none(tmp_path):
    write_wav(tmp_path / "pump.wav")
    (tmp_path / "recordings.csv").write_text(
        "recording,file,folder,channel,answer\npump,pump.wav,a,0,normal\n"
    )
    with pytest.raises(DataError, match="of no known layout"):
        load_recordings(tmp_path)
    names, (table,) = found_in(tmp_path)
    assert (names, table.name) == (["pump"], "recordings")


def test_an_archive_leaves_nothing_out_and_its_index_is_no_recording(cwru_dir, uestc_dir):
    for archive, channel in ((cwru_dir, "DE"), (uestc_dir, None)):
        names, left = found_in(archive, channel=channel)
        assert left == []
        assert len(names) == len(load_recordings(archive)) > 0

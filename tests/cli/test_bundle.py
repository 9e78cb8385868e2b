"""``secateur bundle``: every command once as a user would, and what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest

from secateur.cli.app import run


@pytest.fixture
def bundle(bundle_folder, tmp_path):
    return str(shutil.copytree(bundle_folder, tmp_path / "bundle"))


def answer(capsys, *arguments):
    code = run(["bundle", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_from_folder_to_a_signed_archive_and_back(bundle, tmp_path, capsys):
    key, archive = str(tmp_path / "plant.pem"), str(tmp_path / "model.sct")
    _, made = answer(capsys, "key", "--out", key)
    _, packed = answer(capsys, "create", bundle, "--out", archive)
    assert packed["bytes"] == (tmp_path / "model.sct").stat().st_size
    assert answer(capsys, "verify", archive)[1]["signature"] == "unsigned"
    assert answer(capsys, "sign", archive, "--key", key)[1]["key_id"] == made["key_id"]
    code, verified = answer(capsys, "verify", archive, "--public-key", made["public"])
    assert (code, verified["signature"], verified["key_id"]) == (0, "trusted", made["key_id"])
    assert verified["golden_max_abs_diff"] <= 1e-4
    answer(capsys, "create", archive, "--out", str(tmp_path / "again"))
    assert answer(capsys, "verify", str(tmp_path / "again"), "--public-key", made["public"])[0] == 0


def test_inspect_shows_the_manifest(bundle, capsys):
    code, told = answer(capsys, "inspect", bundle)
    assert code == 0
    assert told["labels"] == ["normal", "inner_race", "ball"]
    assert told["signature"] == {"state": "unsigned", "key_id": None}
    assert run(["bundle", "inspect", bundle]) == 0
    shown = capsys.readouterr().out
    for fact in (
        "12000 Hz",
        "normal, inner_race, ball",
        "not signed",
        "model.onnx",
        "accuracy 0.500 on load (leaks",
    ):
        assert fact in shown


def test_inspect_tells_that_a_bundle_is_not_fit_for_use(bundle, tmp_path, capsys):
    path = tmp_path / "bundle/manifest.json"
    verdict = {"fit_for_use": False, "reasons": ["it is near chance"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": verdict}))
    assert run(["bundle", "inspect", bundle]) == 0
    assert "not fit for use; it is near chance" in capsys.readouterr().out


def test_damage_is_an_error_of_one_line(bundle, tmp_path, capsys):
    model = tmp_path / "bundle/model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    code, told = answer(capsys, "verify", bundle)
    assert (code, told["kind"]) == (1, "CheckpointError")
    assert "bytes instead of" in told["error"]


def test_wrong_use_has_exit_code_two(bundle, tmp_path, capsys):
    assert answer(capsys, "create", bundle, "--out", str(tmp_path / "model.zip"))[0] == 2
    assert answer(capsys, "sign", bundle, "--key", str(tmp_path / "none.pem"))[0] == 2
    (tmp_path / "key.pem").write_text("mine")
    assert answer(capsys, "key", "--out", str(tmp_path / "key.pem"))[0] == 2
    assert (tmp_path / "key.pem").read_text() == "mine"


def test_names_in_brackets_are_shown_as_they_are(bundle, tmp_path, capsys):
    path = tmp_path / "bundle/manifest.json"
    manifest = json.loads(path.read_text()) | {"name": "[red]tiny[/] [x", "labels": ["[a]", "[/]", "[b"]}
    path.write_text(json.dumps(manifest))
    assert run(["bundle", "inspect", bundle]) == 0
    shown = capsys.readouterr().out
    assert "[red]tiny[/] [x" in shown
    assert "[a], [/], [b" in shown


def test_another_bundle_is_replaced_with_the_word_only(bundle, tmp_path, capsys):
    archive, folder = str(tmp_path / "model.sct"), str(tmp_path / "out")
    for _ in range(2):
        assert answer(capsys, "create", bundle, "--out", archive, "--overwrite")[0] == 0
        assert answer(capsys, "create", archive, "--out", folder)[0] == 0
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    code, told = answer(capsys, "create", archive, "--out", folder)
    assert (code, told["kind"]) == (2, "ConfigError")
    assert "another bundle" in told["error"]
    assert answer(capsys, "create", archive, "--out", folder, "--overwrite")[0] == 0
    assert not manifest.read_text().endswith("\n\n")

"""A path that is not there is wrong use: exit code 2 and its name, in every command that reads one."""

from __future__ import annotations

import pytest

from secateur.cli.app import run
from secateur.edge.foundation import SHIPPED

CALLS = [
    "compress --settings nowhere --data simulated --ratio 2 --out out",
    "compress --data nowhere --ratio 2 --out out",
    "compress --data simulated --latency-ms 2 --latency-table nowhere --out out",
    "train --data nowhere --out out",
    "train --settings nowhere --data simulated --out out",
    "prune ./nowhere --ratio 2 --criterion magnitude --out out",
    "evaluate ./nowhere",
    "inspect ./nowhere",
    "sia ./nowhere",
    "export ./nowhere --out out",
    "bundle create nowhere --out out.sct",
    "bundle verify nowhere",
    "bundle verify BUNDLE --public-key nowhere",
    "bundle sign nowhere --key present",
    "bundle sign BUNDLE --key nowhere",
    "bundle inspect nowhere",
    "diagnose nowhere --out out",
    "diagnose present --bundle nowhere --out out",
    "diagnose present --public-key nowhere --out out",
    "diagnose present --own-healthy nowhere --out out",
    "diagnose --description nowhere --out out",
    "bench nowhere",
    "bench BUNDLE --against nowhere",
    "profile ./nowhere --out out",
    "order --data nowhere --out out",
    "report nowhere",
    "init nowhere",
    "data check nowhere",
    "data describe nowhere --out out",
    "agent nowhere",
    "models list nowhere",
    "commission nowhere --sensor pump/de",
    "commission nowhere --healthy present --out out.json",
    "commission --healthy nowhere --out out.json",
    "commission --description nowhere --out out.json",
    "commission --healthy present --public-key nowhere --out out.json",
    "outbox check nowhere",
    "outbox repair nowhere",
    "outbox export nowhere",
    "replay nowhere --topic a",
]


@pytest.mark.parametrize("call", CALLS)
def test_a_path_that_is_not_there_is_wrong_use(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "present").write_text("0\n1\n")
    assert run(call.replace("BUNDLE", str(SHIPPED)).split()) == 2
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["present"]


@pytest.mark.parametrize("place", ["file.txt", "folder"])
@pytest.mark.parametrize(
    "call", ["evaluate {} --data simulated", "sia {} --data simulated", "prune {} --ratio 2 --out o"]
)
def test_what_is_no_model_is_said_to_be_none(call, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("no model")
    (tmp_path / "folder").mkdir()
    assert run(call.format(place).split()) == 2
    assert f"{place} holds no model" in capsys.readouterr().err

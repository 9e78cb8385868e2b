"""Commands without other processes run as they are; a launcher that started only one is told of."""

from __future__ import annotations

import pytest

from secateur.cli.launched import run_together
from secateur.core.processes import ALONE, team


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "4"}])
def test_alone_a_command_runs_as_it_is(environment, capsys):
    assert run_together(lambda: 3, environment) == 3
    assert team() is ALONE
    assert capsys.readouterr().err == ""


def test_processes_that_accelerate_did_not_start_are_told_of(capsys):
    environment = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}
    assert run_together(lambda: 0, environment) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "accelerate has started one process only" in told
    assert "--multi_gpu" in told

"""A small diagnoser of each family and a bundle of it."""

from __future__ import annotations

import pytest

from tiny_bundles import tiny_diagnoser, tiny_windows, write_tiny_bundle


@pytest.fixture(scope="session")
def windows():
    return tiny_windows()


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def diagnoser(request):
    return tiny_diagnoser(request.param)


@pytest.fixture(scope="session")
def bundle(diagnoser, tmp_path_factory):
    """A finished bundle; tests that damage it copy it first."""
    return write_tiny_bundle(diagnoser, tmp_path_factory.mktemp("out") / "bundle")

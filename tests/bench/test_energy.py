from __future__ import annotations

import pytest

from secateur.bench.energy import RaplMeter


def counter(root, number, value, limit=1000):
    zone = root / f"intel-rapl:{number}"
    zone.mkdir(exist_ok=True)
    (zone / "energy_uj").write_text(f"{value}\n")
    (zone / "max_energy_range_uj").write_text(f"{limit}\n")


def test_packages_are_added_and_a_counter_may_start_anew(tmp_path):
    counter(tmp_path, 0, 900)
    counter(tmp_path, 1, 100)
    (tmp_path / "intel-rapl:0:0").mkdir()
    meter = RaplMeter(tmp_path)
    before = meter.read()
    counter(tmp_path, 0, 50)
    counter(tmp_path, 1, 400)
    joules = meter.between(before, meter.read())
    assert joules == pytest.approx((150 + 300) / 1e6)
    found = meter.energy(joules, 3)
    assert (found.state, found.joules) == ("measured(RAPL)", pytest.approx(150e-6))
    assert "package" in found.note


def test_without_a_counter_energy_is_unavailable_never_guessed(tmp_path):
    meter = RaplMeter(tmp_path / "powercap")
    assert meter.between(meter.read(), meter.read()) == 0.0
    found = meter.energy(0.0, 100)
    assert (found.state, found.joules) == ("unavailable", None)
    assert "powercap" in found.note


def test_a_counter_that_may_not_be_read_says_so(tmp_path):
    counter(tmp_path, 0, 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    meter = RaplMeter(tmp_path)
    assert "cannot be read" in meter.trouble
    assert meter.between(meter.read(), meter.read()) == 0.0

from __future__ import annotations

import pytest

from secateur.bench.status import parse_status, resident
from secateur.core.errors import MeasurementError

TEXT = "Name:\tpython\nVmPeak:\t  900000 kB\nVmHWM:\t  123456 kB\nVmRSS:\t   65536 kB\nRssAnon:\t 1 kB\n"


def test_resident_memory_is_read_from_the_status():
    found = parse_status(TEXT)
    assert (found.now, found.peak) == (64 * 2**20, 123456 * 1024)


@pytest.mark.parametrize("missing", ["VmRSS", "VmHWM"])
def test_a_status_without_a_line_is_named(missing):
    with pytest.raises(MeasurementError, match=missing):
        parse_status(TEXT.replace(missing, "Other"))


def test_a_system_without_a_status_gives_none(tmp_path):
    assert resident(tmp_path / "status") is None


def test_the_status_of_a_file_is_the_one_that_is_read(tmp_path):
    (tmp_path / "status").write_text(TEXT)
    assert resident(tmp_path / "status").now == 64 * 2**20

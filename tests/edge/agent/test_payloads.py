"""Messages of others: what is right is read, and whatever else comes ends in one clear error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.sources.assembly import Assembler
from secateur.edge.agent.sources.payloads import (
    HEADER_BYTES,
    Piece,
    from_json,
    from_raw,
    to_json,
    to_raw,
)
from secateur.edge.agent.sparkplug.codec import decode
from secateur.edge.agent.sparkplug.host import Host

SAID = {
    "number": 7,
    "measured_unix_s": 1.5,
    "sampling_rate_hz": 12_000.0,
    "speed_rpm": 1797.0,
    "unit": "g",
    "part": 1,
    "parts": 3,
}


def _same(first: Piece, second: Piece) -> None:
    np.testing.assert_allclose(first.samples, second.samples, atol=5e-4)
    for name in SAID:
        assert getattr(first, name) == getattr(second, name), name


def test_round_trips() -> None:
    piece = Piece(samples=np.linspace(-1, 1, 50, dtype=np.float32), **SAID)
    _same(from_json(to_json(piece)), piece)
    _same(from_raw(to_raw(piece)), piece)
    _same(from_raw(to_raw(piece, scale=1e-3)), piece)
    assert len(to_raw(piece)) == HEADER_BYTES + 200
    bare = Piece(samples=np.ones(3, dtype=np.float32))
    for again in (from_json(to_json(bare)), from_raw(to_raw(bare))):
        assert (again.number, again.measured_unix_s, again.unit, again.speed_rpm) == (None,) * 4


def test_a_mark_in_front_of_json_is_no_part_of_it() -> None:
    assert from_json(b'\xef\xbb\xbf{"samples": [1, 2]}').samples.tolist() == [1, 2]


def test_missing_samples_are_not_a_number() -> None:
    assert np.isnan(from_json(b'{"samples": [1, null, 3]}').samples[1])


WRONG = [
    b"",
    b"[]",
    b'{"samples": [1, "x"]}',
    b'{"samples": [1, "2"]}',
    b'{"samples": [true, 1]}',
    b'{"samples": [1], "sampling_rate_hz": -1}',
    b'{"samples": [1], "sampling_rate_hz": NaN}',
    b'{"samples": [1], "sampling_rate_hz": "12000"}',
    b'{"samples": [1], "speed_rpm": true}',
    b'{"samples": [1], "other": 1}',
    b'{"samples": [1], "part": 2, "parts": 2, "number": 1}',
    b'{"samples": [1], "part": 0, "parts": 2}',
    b'{"samples": [1], "key": "../x"}',
    b'{"samples": [1], "measured_unix_s": 1700000000000}',
    b'{"samples": [1], "measured_unix_s": -1}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", WRONG)
def test_wrong_json(content: bytes) -> None:
    with pytest.raises(DataError):
        from_json(content)


@pytest.mark.parametrize("cut", [0, 4, HEADER_BYTES - 1, HEADER_BYTES + 1])
def test_raw_cut_short(cut: int) -> None:
    with pytest.raises(DataError):
        from_raw(to_raw(Piece(samples=np.ones(8, dtype=np.float32)))[:cut])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text('a1/#\\"é', max_size=6) | st.integers(-(2**70), 2**70),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('a1/#\\"é', max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)


KEYS = st.sampled_from(["samples", "number", "key", "part", "parts", "unit", "speed_rpm", "measured_unix_s"])


BODIES = (
    st.binary(max_size=200)
    | st.binary(max_size=80).map(lambda tail: b"SVB1" + tail)
    | st.dictionaries(KEYS, JSON_VALUES, max_size=6).map(lambda value: json.dumps(value).encode())
)


# a loaded machine draws slowly; that is no verdict
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_no_message_does_harm(content: bytes) -> None:
    assembler = Assembler(incomplete_after_s=10.0)
    for parse in (from_json, from_raw):
        try:
            piece = parse(content)
            assembler.add("m", "s", piece)
        except SecateurError as error:
            assert len(str(error)) < 500
    try:
        Host().take("NBIRTH", "node", decode(content))
    except SecateurError as error:
        assert "Sparkplug" in str(error)

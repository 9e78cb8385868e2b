"""Bytes flipped, cut out and put in anywhere in small bundles: nothing but errors of ours comes out."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import pytest

pytest.importorskip("hypothesis", reason="not installed where the device's tests run")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forged import reseal
from secateur.bundle.archive import pack
from secateur.bundle.verify import check_bundle, verify_bundle
from secateur.core.errors import SecateurError

QUICK = settings(
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PLACES = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(1, 255)),
        st.tuples(st.just("cut"), PLACES, st.integers(1, 4000)),
        st.tuples(st.just("put in"), PLACES, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("end"), PLACES, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content, changes):
    content = bytearray(content)
    for how, share, what in changes:
        place = int(share * len(content))
        if how == "flip" and content:
            content[place] ^= what
        elif how == "cut":
            del content[place : place + what]
        elif how == "put in":
            content[place:place] = what
        elif how == "end":
            del content[place:]
    return bytes(content)


@pytest.fixture(scope="module", params=["windows", "tokens"])
def sound(request, bundle_folder, causal_bundle_folder):
    return bundle_folder if request.param == "windows" else causal_bundle_folder


@pytest.fixture(scope="module")
def packed_once(sound, tmp_path_factory):
    place = tmp_path_factory.mktemp("packed") / "bundle.sct"
    pack(sound, place)
    return place


@QUICK
@given(changes=CHANGES, at_the_end=st.booleans())
def test_damaged_archives(packed_once, tmp_path, changes, at_the_end):
    whole = packed_once.read_bytes()
    # what is at the end, the list of members, is where most can be said wrongly
    begin = max(0, len(whole) - 700) if at_the_end else 0
    changed = whole[:begin] + damaged(whole[begin:], changes)
    (tmp_path / "bundle.sct").write_bytes(changed)
    with suppress(SecateurError):
        check_bundle(tmp_path / "bundle.sct")
        # unharmed where it matters, or in a field that nobody reads
        verify_bundle(tmp_path / "bundle.sct")


@QUICK
@given(changes=CHANGES, name=st.sampled_from(["manifest.json", "golden.npz", "model.onnx"]))
def test_damaged_folders(sound, tmp_path_factory, changes, name):
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("damaged") / "bundle")
    content = (folder / name).read_bytes()
    changed = damaged(content, changes)
    (folder / name).write_bytes(changed)
    if name == "manifest.json":
        with suppress(SecateurError):
            verify_bundle(folder)
    elif changed != content:
        with pytest.raises(SecateurError):
            verify_bundle(folder)
    shutil.rmtree(folder)


ODD = st.sampled_from(
    [None, True, -1, 0, 1, 2, 10**6, 10**30, 0.5, float("nan"), float("inf"), "", "x", "\x00", "../x", [], {}]
)


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key, entry in value.items() for leaf in leaves(entry, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, entry in enumerate(value) for leaf in leaves(entry, (*path, key))]
    return [path]


@QUICK
@given(data=st.data())
def test_manifests_that_lie(sound, tmp_path_factory, data):
    """Values of the right form in wrong places: what passes is a bundle that runs."""
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("lying") / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(leaves(manifest)))
        place = manifest
        for key in above:
            place = place[key]
        place[last] = data.draw(ODD)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with suppress(SecateurError):
        verify_bundle(folder)
    shutil.rmtree(folder)


@QUICK
@given(changes=CHANGES)
def test_golden_files_damaged_by_a_forger(sound, tmp_path_factory, changes):
    """The checksum is written anew, so that the reader itself meets the damage."""
    folder = shutil.copytree(sound, tmp_path_factory.mktemp("forged") / "bundle")
    (folder / "golden.npz").write_bytes(damaged((folder / "golden.npz").read_bytes(), changes))
    reseal(folder)
    with suppress(SecateurError):
        verify_bundle(folder)
    shutil.rmtree(folder)

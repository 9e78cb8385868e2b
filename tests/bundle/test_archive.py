"""Archives: the same files in one, nothing taken out of them that the manifest does not name."""

from __future__ import annotations

import zipfile

import pytest

from secateur.bundle.archive import pack, sign_bundle, unpack
from secateur.bundle.manifest import read_manifest
from secateur.bundle.verify import check_bundle, verify_bundle
from secateur.core.errors import CheckpointError, ConfigError


def test_archive_says_what_the_folder_says(bundle_folder, packed):
    assert read_manifest(packed) == read_manifest(bundle_folder)
    assert verify_bundle(packed).golden_max_abs_diff == verify_bundle(bundle_folder).golden_max_abs_diff


def test_same_folder_gives_the_same_bytes(bundle_folder, packed, tmp_path):
    pack(bundle_folder, tmp_path / "again.sct")
    assert packed.read_bytes() == (tmp_path / "again.sct").read_bytes()


def test_unpacking_gives_the_folder_back(bundle_folder, packed, tmp_path):
    unpack(packed, tmp_path / "out")
    found = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert found == {file.name: file.read_bytes() for file in bundle_folder.iterdir()}


def test_every_cut_is_refused(packed, tmp_path):
    whole = packed.read_bytes()
    for share in (0.0, 0.3, 0.9, 0.999):
        (tmp_path / "cut.sct").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CheckpointError, match="whole bundle"):
            check_bundle(tmp_path / "cut.sct")


def test_every_flipped_byte_of_a_member_is_refused(packed, tmp_path):
    whole = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        places = [info.header_offset + 80 + info.file_size // 2 for info in archive.infolist()]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / "flipped.sct").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            check_bundle(tmp_path / "flipped.sct")


def rewritten(packed, target, change):
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(target, "w") as archive:
        change(members, archive)
    return target


def test_foreign_members_are_refused(packed, tmp_path):
    def add(name):
        def change(members, archive):
            for own, content in members.items():
                archive.writestr(own, content)
            archive.writestr(name, b"boo")

        return change

    for name in ("../escape", "/tmp/absolute", "more/deeper", "extra.bin"):
        target = rewritten(packed, tmp_path / "foreign.sct", add(name))
        with pytest.raises(CheckpointError, match="does not name"):
            unpack(target, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_doubled_and_compressed_members_are_refused(packed, tmp_path):
    def compress(members, archive):
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)

    with pytest.raises(CheckpointError, match="compressed"):
        check_bundle(rewritten(packed, tmp_path / "small.sct", compress))

    def double(members, archive):
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("manifest.json", members["manifest.json"])

    with pytest.warns(UserWarning, match="Duplicate"):
        target = rewritten(packed, tmp_path / "double.sct", double)
    with pytest.raises(CheckpointError, match="twice"):
        check_bundle(target)


def test_nothing_is_replaced(packed, bundle_folder, tmp_path):
    before = packed.read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        pack(bundle_folder, packed)
    with pytest.raises(ConfigError, match=r"\.sct"):
        pack(bundle_folder, tmp_path / "bundle.zip")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds something else"):
        unpack(packed, tmp_path / "mine")
    assert packed.read_bytes() == before


def test_a_damaged_folder_is_not_packed(copied, tmp_path):
    (copied / "model.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError):
        pack(copied, tmp_path / "bad.sct")
    assert not (tmp_path / "bad.sct").exists()


def test_archives_are_signed_in_place(packed, keys):
    private, public = keys
    sign_bundle(packed, private)
    assert check_bundle(packed, trusted=[public]).signature.state == "trusted"

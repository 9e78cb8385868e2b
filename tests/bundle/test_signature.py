"""Signatures: what they cover, whom they trust, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from secateur.bundle.archive import sign_bundle
from secateur.bundle.signature import create_key
from secateur.bundle.verify import check_bundle
from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.files import sha256_of


def test_signed_bundle_is_known_by_its_key(copied, keys):
    private, public = keys
    assert check_bundle(copied).signature.state == "unsigned"
    sign_bundle(copied, private)
    seen = check_bundle(copied).signature
    trusted = check_bundle(copied, trusted=[public]).signature
    assert (seen.state, trusted.state) == ("signed", "trusted")
    assert seen.key_id == trusted.key_id


def test_unsigned_bundle_is_refused_where_signatures_are_required(copied, keys):
    with pytest.raises(CheckpointError, match="not signed"):
        check_bundle(copied, trusted=[keys[1]])


def test_foreign_key_is_refused_by_name(copied, keys, tmp_path):
    stranger = create_key(tmp_path / "other.pem", tmp_path / "other.pub.pem")
    sign_bundle(copied, tmp_path / "other.pem")
    with pytest.raises(CheckpointError, match=f"{stranger}.*not trusted"):
        check_bundle(copied, trusted=[keys[1]])
    assert check_bundle(copied, trusted=[keys[1], tmp_path / "other.pub.pem"]).signature.state == "trusted"


def test_an_altered_file_with_a_corrected_manifest_is_refused(copied, keys):
    sign_bundle(copied, keys[0])
    model = copied / "model.onnx"
    model.write_bytes(model.read_bytes() + b" ")
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = {"sha256": sha256_of(model), "bytes": model.stat().st_size}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="altered after signing"):
        check_bundle(copied)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "rsa"},
        {"signature": "00" * 64},
        {"public_key": "zz" * 32},
        {"public_key": "ff" * 32},
        {"surprise": 1},
        {"schema_version": 2},
    ],
)
def test_damaged_signatures_are_refused(copied, keys, change):
    sign_bundle(copied, keys[0])
    path = copied / "signature.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError):
        check_bundle(copied, trusted=[keys[1]])


def test_a_taken_away_signature_is_noticed_where_it_matters(copied, keys):
    sign_bundle(copied, keys[0])
    (copied / "signature.json").unlink()
    with pytest.raises(CheckpointError, match="not signed"):
        check_bundle(copied, trusted=[keys[1]])


def test_private_key_is_the_owners_alone_and_never_replaced(keys, tmp_path):
    assert keys[0].stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="never replaced"):
        create_key(keys[0], tmp_path / "new.pub.pem")


def test_unusable_keys_are_named(copied, keys, tmp_path):
    (tmp_path / "junk.pem").write_text("hello")
    for key in (tmp_path / "junk.pem", tmp_path / "none.pem", keys[1]):
        with pytest.raises(ConfigError, match=key.name):
            sign_bundle(copied, key)
    with pytest.raises(ConfigError, match="junk"):
        check_bundle(copied, trusted=[tmp_path / "junk.pem"])
    assert not (copied / "signature.json").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_keys_of_openssl_work(copied, tmp_path):
    private, public = tmp_path / "ssl.pem", tmp_path / "ssl.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    sign_bundle(copied, private)
    assert check_bundle(copied, trusted=[public]).signature.state == "trusted"

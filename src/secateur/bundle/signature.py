"""Signatures: who vouches for a bundle. Ed25519 over the manifest, which holds all other files' hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.core.documents import require_regular_file
from secateur.core.errors import CheckpointError, ConfigError, DataError
from secateur.core.extras import explained
from secateur.core.files import write_aside

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FILE = "signature.json"
SIGNATURE_LIMIT = 4096
KEY_LIMIT = 65_536
_CONTEXT = b"secateur bundle manifest v1\x00"
"""Put before what is signed, so that a signature made for another purpose is none here."""

Hexadecimal = Annotated[str, Field(pattern=r"^[0-9a-f]+$")]


class Signature(BaseModel):
    """A signature as it lies in a bundle.

    Attributes
    ----------
    public_key : str
        Raw public key, hexadecimal; it says who claims to have signed, not that they may be trusted.
    signature : str
        Hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: Annotated[Hexadecimal, Field(min_length=64, max_length=64)]
    signature: Annotated[Hexadecimal, Field(min_length=128, max_length=128)]


@dataclass(frozen=True, kw_only=True)
class SignatureCheck:
    """What is known about who made a bundle.

    Attributes
    ----------
    state : {"unsigned", "signed", "trusted"}
        "signed": the signature is sound, but its key is not among those that were given as trusted.
    key_id : str or None
        First 16 digits of the public key's SHA-256.
    """

    state: Literal["unsigned", "signed", "trusted"]
    key_id: str | None = None


@explained("signing and checking signatures")
def create_key(private: Path, public: Path) -> str:
    """Make a key pair as PEM files, the private one readable by its owner alone; return the key's id.

    Raises
    ------
    ConfigError
        If one of the files exists.
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    for path in (private, public):
        if path.exists():
            raise ConfigError(f"{path} exists; a key is never replaced. Choose another name.")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    shown = key.public_key().public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
    with write_aside(private, private=True) as aside:
        aside.write_bytes(secret)
    with write_aside(public) as aside:
        aside.write_bytes(shown)
    return key_id(_raw(key.public_key()))


@explained("signing and checking signatures")
def sign(manifest: bytes, private_key: Path) -> bytes:
    """Return the content of the signature file for a manifest.

    Parameters
    ----------
    manifest : bytes
        Content of the manifest file.
    private_key : Path
        PEM file of an Ed25519 key without password, such as ``openssl genpkey -algorithm ed25519`` writes.

    Raises
    ------
    ConfigError
        If the file holds no such key.
    """
    key = _read_private(private_key)
    entry = Signature(public_key=_raw(key.public_key()).hex(), signature=key.sign(_CONTEXT + manifest).hex())
    return (json.dumps(entry.model_dump(), indent=2) + "\n").encode()


@explained("signing and checking signatures")
def check_signature(manifest: bytes, content: bytes | None, trusted: Sequence[Path] = ()) -> SignatureCheck:
    """Check the signature of a manifest.

    Parameters
    ----------
    manifest : bytes
        Content of the manifest file.
    content : bytes or None
        Content of the signature file, None where there is none.
    trusted : sequence of Path
        PEM files of public keys that may sign. If any is given, nothing else is accepted.

    Returns
    -------
    SignatureCheck

    Raises
    ------
    CheckpointError
        If the signature does not belong to the manifest, or is not by a trusted key though some are given.
    ConfigError
        If a key file cannot be read.
    """
    keys = {_raw(read_public_key(path)): path for path in trusted}
    if content is None:
        if keys:
            raise CheckpointError(
                "the bundle is not signed, but signatures are required here; sign it with "
                "'secateur bundle sign' and a key that is trusted here."
            )
        return SignatureCheck(state="unsigned")
    entry = _parse(content)
    raw = bytes.fromhex(entry.public_key)
    _verify(raw, bytes.fromhex(entry.signature), manifest)
    if keys and raw not in keys:
        raise CheckpointError(
            f"the bundle is signed by key {key_id(raw)}, which is not trusted here; trusted: "
            f"{', '.join(f'{key_id(key)} ({path})' for key, path in keys.items())}."
        )
    return SignatureCheck(state="trusted" if keys else "signed", key_id=key_id(raw))


def key_id(raw: bytes) -> str:
    """Return the short name of a raw public key."""
    return hashlib.sha256(raw).hexdigest()[:16]


def _parse(content: bytes) -> Signature:
    try:
        return Signature.model_validate_json(content)
    except ValidationError as error:
        raise CheckpointError(
            f"{SIGNATURE_FILE} is not a valid signature ({error.errors()[0]['msg']}); sign the bundle again."
        ) from None


def _verify(raw: bytes, signature: bytes, manifest: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, _CONTEXT + manifest)
    except (InvalidSignature, ValueError):
        raise CheckpointError(
            "the signature does not belong to this manifest: one of them was altered after signing."
        ) from None


def _read_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(path, lambda content: load_pem_private_key(content, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 private key; make one with 'secateur bundle key'.")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key in PEM form.

    Raises
    ------
    ConfigError
        If the file is missing or holds no Ed25519 public key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _load(path, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} holds no Ed25519 public key; make one with 'secateur bundle key'.")
    return key


def _load(path: Path, parse: Callable[[bytes], Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        require_regular_file(path)
        with Path(path).open("rb") as stream:
            return parse(stream.read(KEY_LIMIT))
    except DataError as error:
        raise ConfigError(f"the key could not be read: {error}") from None
    except OSError as error:
        raise ConfigError(f"the key {path} could not be read: {error}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} holds no usable key in PEM form, without password ({error}); make one with "
            "'secateur bundle key'."
        ) from None


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()

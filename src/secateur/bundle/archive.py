"""Bundles packed into one file and unpacked, and signed in place."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from secateur.bundle.manifest import MANIFEST_FILE, MANIFEST_LIMIT
from secateur.bundle.signature import SIGNATURE_FILE, sign
from secateur.bundle.source import ARCHIVE_SUFFIX, BundleSource, read_file, write_archive
from secateur.bundle.verify import check_bundle
from secateur.core.errors import ConfigError
from secateur.core.files import folder_aside, require_replaceable, write_aside


def pack(bundle: Path, archive: Path, *, overwrite: bool = False) -> None:
    """Write a bundle folder as one archive after checking it; the same folder gives the same bytes.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    archive : Path
        File to write, ending in ``.sct``.
    overwrite : bool, default False
        Whether a file of that name is replaced.

    Raises
    ------
    CheckpointError
        If the bundle is not sound.
    ConfigError
        If ``archive`` exists and ``overwrite`` is not given, or it does not end in ``.sct``.
    """
    archive = Path(archive)
    if archive.suffix != ARCHIVE_SUFFIX:
        raise ConfigError(f"{archive} does not end in {ARCHIVE_SUFFIX}; name the archive so.")
    if archive.exists() and not overwrite:
        raise ConfigError(f"{archive} exists; choose a new name, or add --overwrite.")
    checked = check_bundle(bundle)
    with write_aside(archive) as aside:
        write_archive(checked.source, _in_order(checked.source), aside)
        check_bundle(aside)


def unpack(archive: Path, folder: Path, *, overwrite: bool = False) -> None:
    """Write the files of a bundle archive as a folder after checking them.

    Parameters
    ----------
    archive : Path
        The ``.sct`` file.
    folder : Path
        New, empty, or the folder of this very bundle.
    overwrite : bool, default False
        Whether another bundle in it is replaced.

    Raises
    ------
    CheckpointError
        If the archive is not sound.
    ConfigError
        If ``folder`` holds something that is no bundle, or another bundle and ``overwrite`` is not given.
    """
    require_replaceable(Path(folder), MANIFEST_FILE)
    checked = check_bundle(archive)
    former = Path(folder) / MANIFEST_FILE
    manifest = read_file(checked.source, MANIFEST_FILE, limit=MANIFEST_LIMIT)
    if former.is_file() and not overwrite and former.read_bytes() != manifest:
        raise ConfigError(f"{folder} holds another bundle; choose a new folder, or add --overwrite.")
    with folder_aside(Path(folder)) as aside:
        for name in checked.source.names():
            size = checked.source.size(name)
            (aside / name).write_bytes(read_file(checked.source, name, limit=size))
        check_bundle(aside)


def sign_bundle(bundle: Path, private_key: Path) -> None:
    """Put a signature into a bundle, folder or archive, in place of one that may be there.

    Raises
    ------
    CheckpointError
        If the bundle is not sound.
    ConfigError
        If the key cannot be used.
    """
    bundle = Path(bundle)
    source = check_bundle(bundle).source
    signature = sign(read_file(source, MANIFEST_FILE, limit=MANIFEST_LIMIT), private_key)
    if bundle.is_dir():
        with write_aside(bundle / SIGNATURE_FILE) as aside:
            aside.write_bytes(signature)
        return
    signed = _Signed(source=source, signature=signature)
    with write_aside(bundle) as aside:
        write_archive(signed, _in_order(signed), aside)
        check_bundle(aside)


@dataclass(frozen=True, kw_only=True)
class _Signed:
    """The files of a bundle with a signature that is not there yet."""

    source: BundleSource
    signature: bytes

    @property
    def place(self) -> Path:
        return self.source.place

    def names(self) -> frozenset[str]:
        return self.source.names() | {SIGNATURE_FILE}

    def size(self, name: str) -> int:
        return len(self.signature) if name == SIGNATURE_FILE else self.source.size(name)

    def open(self, name: str) -> BinaryIO:
        return BytesIO(self.signature) if name == SIGNATURE_FILE else self.source.open(name)


def _in_order(source: BundleSource) -> list[str]:
    """What is read first lies first."""
    first = [name for name in (MANIFEST_FILE, SIGNATURE_FILE) if name in source.names()]
    return first + sorted(source.names() - set(first))

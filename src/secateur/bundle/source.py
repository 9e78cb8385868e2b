"""Where the files of a bundle lie: in a folder, or in one ``.sct`` archive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from secateur.core.errors import CheckpointError

ARCHIVE_SUFFIX = ".sct"
_PIECE = 1 << 20


class BundleSource(Protocol):
    """The files of one bundle, by name."""

    @property
    def place(self) -> Path:
        """The folder or archive, for messages."""

    def names(self) -> frozenset[str]:
        """Return the names of all files."""

    def size(self, name: str) -> int:
        """Return the bytes of a file."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""


@dataclass(frozen=True)
class FolderSource:
    """A bundle as a folder."""

    place: Path

    def names(self) -> frozenset[str]:
        """See :class:`BundleSource`; sub-folders are named with a slash at the end."""
        return frozenset(f"{entry.name}/" if entry.is_dir() else entry.name for entry in self.place.iterdir())

    def size(self, name: str) -> int:
        """See :class:`BundleSource`."""
        return (self.place / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        """See :class:`BundleSource`."""
        return (self.place / name).open("rb")


class ArchiveSource:
    """A bundle as one ``.sct`` file: a ZIP archive whose members are stored as they are.

    Members are read where they lie, never extracted, so that no name in an archive becomes a path.

    Parameters
    ----------
    place : Path
        The file.

    Raises
    ------
    CheckpointError
        If it is no such archive, is cut short, or holds doubled or compressed members.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        try:
            self._archive = ZipFile(place)
        except (BadZipFile, OSError) as error:
            raise CheckpointError(
                f"{place} is not a whole bundle archive ({error}); copy it again, or give a bundle folder."
            ) from None
        members = self._archive.infolist()
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise CheckpointError(f"{place} holds a file twice; it was not made by 'secateur bundle create'.")
        for member in members:
            if member.compress_type != ZIP_STORED or member.flag_bits & 1:
                raise CheckpointError(
                    f"{place}: '{member.filename}' is compressed or encrypted; members of a bundle archive "
                    "are stored as they are. Make it with 'secateur bundle create'."
                )

    def names(self) -> frozenset[str]:
        """See :class:`BundleSource`."""
        return frozenset(self._members)

    def size(self, name: str) -> int:
        """See :class:`BundleSource`."""
        return self._members[name].file_size

    def open(self, name: str) -> BinaryIO:
        """See :class:`BundleSource`."""
        return self._archive.open(self._members[name])  # type: ignore[return-value]


def open_source(bundle: Path) -> BundleSource:
    """Return the files of a bundle, whether folder or archive.

    Raises
    ------
    CheckpointError
        If there is neither.
    """
    bundle = Path(bundle)
    if bundle.is_dir():
        return FolderSource(bundle)
    if bundle.is_file():
        return ArchiveSource(bundle)
    raise CheckpointError(f"{bundle} is neither a bundle folder nor a {ARCHIVE_SUFFIX} archive.")


def read_file(source: BundleSource, name: str, *, limit: int) -> bytes:
    """Return the content of a file of a bundle.

    Parameters
    ----------
    source : BundleSource
    name : str
    limit : int
        Most bytes it may have.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or larger.
    """
    _require(source, name)
    if source.size(name) > limit:
        raise CheckpointError(
            f"{source.place}: {name} has {source.size(name)} bytes; at most {limit} are read."
        )
    return b"".join(_pieces(source, name))


def check_file(source: BundleSource, name: str, *, sha256: str, size: int) -> None:
    """Compare one file with its recorded size and checksum, in pieces.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or different.
    """
    _require(source, name)
    found = source.size(name)
    if found != size:
        raise CheckpointError(
            f"{source.place}: {name} has {found} bytes instead of {size}; copy the whole bundle again."
        )
    digest = hashlib.sha256()
    for piece in _pieces(source, name):
        digest.update(piece)
    if digest.hexdigest() != sha256:
        raise CheckpointError(
            f"{source.place}: {name} does not have its recorded checksum; it was altered or damaged."
        )


def write_archive(source: BundleSource, names: list[str], path: Path) -> None:
    """Write files of a bundle as one archive; the same files give the same bytes.

    Parameters
    ----------
    source : BundleSource
    names : list of str
        Which files, in the order in which they are to lie.
    path : Path
        A temporary place; renaming is the caller's.
    """
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name in names:
            member = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            with archive.open(member, "w", force_zip64=True) as stored:
                for piece in _pieces(source, name):
                    stored.write(piece)


def _require(source: BundleSource, name: str) -> None:
    if name not in source.names():
        raise CheckpointError(f"{source.place}: {name} is missing; copy the whole bundle again.")


def _pieces(source: BundleSource, name: str) -> Iterator[bytes]:
    try:
        with source.open(name) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except (BadZipFile, EOFError, OSError) as error:
        raise CheckpointError(
            f"{source.place}: {name} could not be read ({error}); copy the whole bundle again."
        ) from None


def file_or_content(source: BundleSource, name: str, *, limit: int) -> Path | bytes:
    """Return what a runtime loads: the file itself in a folder, which it may map, else its content.

    Parameters
    ----------
    source : BundleSource
    name : str
    limit : int
        Most bytes of the content.
    """
    if isinstance(source, FolderSource):
        return source.place / name
    return read_file(source, name, limit=limit)

"""Where the files of a bundle lie: in a folder, or in one ``.sct`` archive."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from secateur.core.arrays import DAMAGE
from secateur.core.errors import CheckpointError, ConfigError

ARCHIVE_SUFFIX = ".sct"
MOST_MEMBERS = 1000
_PIECE = 1 << 20
_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_COMMENT_BYTES = 1 << 16
_DIRECTORY_BYTES = MOST_MEMBERS * 512
"""Of the list of members at the end of an archive: names of 200 characters and some fields."""


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
        names: set[str] = set()
        try:
            with os.scandir(self.place) as entries:
                for entry in entries:
                    names.add(f"{entry.name}/" if Path(entry.path).is_dir() else entry.name)
                    if len(names) > MOST_MEMBERS:
                        raise CheckpointError(
                            f"{self.place} holds more than {MOST_MEMBERS} files; no bundle does."
                        )
        except OSError as error:
            raise CheckpointError(f"{self.place} could not be read ({error.strerror}).") from None
        return frozenset(names)

    def size(self, name: str) -> int:
        """See :class:`BundleSource`.

        Raises
        ------
        CheckpointError
            If it is no regular file: pipes and devices have no end.
        """
        try:
            found = (self.place / name).stat()
        except OSError as error:
            raise CheckpointError(f"{self.place}: {name} could not be read ({error.strerror}).") from None
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointError(f"{self.place}: {name} is no regular file; copy the whole bundle again.")
        return found.st_size

    def open(self, name: str) -> BinaryIO:
        """See :class:`BundleSource`."""
        self.size(name)
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
            _require_short_directory(place)
            self._archive = ZipFile(place)
        except DAMAGE as error:
            raise CheckpointError(
                f"{place} is not a whole bundle archive ({str(error)[:200]}); copy it again, or give a "
                "bundle folder."
            ) from None
        members = self._archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise CheckpointError(f"{place} holds more than {MOST_MEMBERS} files; no bundle does.")
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise CheckpointError(f"{place} holds a file twice; it was not made by 'secateur bundle create'.")
        for member in members:
            if (
                member.compress_type != ZIP_STORED
                or member.flag_bits & 1
                or member.file_size != member.compress_size
            ):
                raise CheckpointError(
                    f"{place}: {in_few_words([member.filename])} is compressed or encrypted; members of a "
                    "bundle archive are stored as they are. Make it with 'secateur bundle create'."
                )
        if sum(member.file_size for member in members) > place.stat().st_size:
            raise CheckpointError(f"{place} is shorter than what it says it holds; copy it again.")

    def names(self) -> frozenset[str]:
        """See :class:`BundleSource`."""
        return frozenset(self._members)

    def size(self, name: str) -> int:
        """See :class:`BundleSource`."""
        return self._members[name].file_size

    def open(self, name: str) -> BinaryIO:
        """See :class:`BundleSource`."""
        return self._archive.open(self._members[name])  # type: ignore[return-value]


def _require_short_directory(place: Path) -> None:
    """Refuse an archive whose list of members is long before it is read: each takes half a kilobyte here.

    Raises
    ------
    BadZipFile
        If it is long, or there is no end of an archive.
    """
    with place.open("rb") as stream:
        length = stream.seek(0, os.SEEK_END)
        begin = max(0, length - _COMMENT_BYTES - _END.size)
        stream.seek(begin)
        tail = stream.read()
        found = tail.rfind(b"PK\x05\x06")
        if found < 0 or len(tail) - found < _END.size:
            raise BadZipFile("it has no end of a ZIP archive")
        sizes = [_END.unpack_from(tail, found)[5]]
        if (place64 := begin + found - 20 - _END64.size) >= 0:
            stream.seek(place64)
            fields = _END64.unpack(stream.read(_END64.size))
            sizes += [fields[8]] if fields[0] == b"PK\x06\x06" else []
    if max(size for size in sizes if size != 0xFFFFFFFF or len(sizes) == 1) > _DIRECTORY_BYTES:
        raise BadZipFile(f"it lists more than {MOST_MEMBERS} files; no bundle does")


def in_few_words(names: Iterable[str], most: int = 5) -> str:
    """Return some of these names for a message, whatever characters are in them."""
    names = sorted(names)
    shown = ", ".join(repr(name if len(name) <= 80 else f"{name[:80]}...") for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def open_source(bundle: Path) -> BundleSource:
    """Return the files of a bundle, whether folder or archive.

    Raises
    ------
    ConfigError
        If there is nothing at all.
    CheckpointError
        If there is something else, or a damaged archive.
    """
    bundle = Path(bundle)
    with suppress(OSError, ValueError):
        if bundle.is_dir():
            return FolderSource(bundle)
        if bundle.is_file():
            return ArchiveSource(bundle)
        if not bundle.exists():
            raise ConfigError(f"{bundle} does not exist; give a bundle folder or a {ARCHIVE_SUFFIX} archive.")
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
    content, small = bytearray(), source.size(name) <= limit
    for piece in _pieces(source, name) if small else ():
        content += piece
        small = len(content) <= limit
        if not small:  # it has grown since
            break
    if not small:
        raise CheckpointError(f"{source.place}: {name} has more than the {limit} bytes that are read of it.")
    return bytes(content)


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
    digest, read = hashlib.sha256(), 0
    for piece in _pieces(source, name):
        digest.update(piece)
        read += len(piece)
        if read > size:
            break
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
    if name in source.names():
        return
    place, missing = source.place, f"{source.place}: {name} is missing"
    if (place / "bundle" / name).is_file():
        raise ConfigError(f"{missing}; give the bundle of this run, {place / 'bundle'}.")
    if (place / "config.json").is_file():
        raise ConfigError(
            f"{missing}; this is a checkpoint; make a bundle of it: secateur export {place} --out bundle."
        )
    raise CheckpointError(f"{missing}; copy the whole bundle again.")


def _pieces(source: BundleSource, name: str) -> Iterator[bytes]:
    try:
        with source.open(name) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except DAMAGE as error:
        raise CheckpointError(
            f"{source.place}: {name} could not be read ({str(error)[:200]}); copy the whole bundle again."
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

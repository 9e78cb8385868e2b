"""Download of public data sets: resumed where it broke off, verified, whole or not at all."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from secateur.core.errors import TransportError
from secateur.core.files import folder_aside, sha256_of
from secateur.core.locks import sole_writer
from secateur.core.progress import Advance, progress
from secateur.signals.catalogue import RemoteFile, public_data_set

ATTEMPTS = 4
PAUSE_S = 0.5
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a download brought.

    Parameters
    ----------
    name : str
        The data set.
    folder : Path
        Where its files lie.
    downloaded, present : tuple of str
        Files that were downloaded now, and those that were there before.
    unverified : tuple of str
        Files whose checksum is not known to the catalogue, so only their length was checked.
    sha256 : dict
        Checksum of every file, as found.
    """

    name: str
    folder: Path
    downloaded: tuple[str, ...]
    present: tuple[str, ...]
    unverified: tuple[str, ...]
    sha256: dict[str, str]


def fetch(name: str, out: Path, *, catalogue: Path | None = None) -> Fetched:
    """Download a data set of the catalogue.

    Files that are there already are kept. What was downloaded before a break is kept beside the final
    name (``<file>.part``) and the next call goes on from there. Zip files are unpacked into a folder of
    their name.

    Parameters
    ----------
    name : str
        A name in the catalogue ("cwru", "jnu", "uestc", "mfpt").
    out : Path
        Folder for the files.
    catalogue : Path, optional
        Another catalogue than the one of the package.

    Raises
    ------
    ConfigError
        If the catalogue has no such data set, or another process fetches into the folder.
    TransportError
        If a file cannot be downloaded or written, or its checksum is wrong.
    """
    data_set = public_data_set(name) if catalogue is None else public_data_set(name, catalogue)
    files = data_set.remote_files()
    downloaded: list[str] = []
    present: list[str] = []
    checksums: dict[str, str] = {}
    headers = {"User-Agent": "secateur", "Accept-Encoding": "identity"}  # ranges count encoded bytes
    with (
        sole_writer(out),
        httpx.Client(follow_redirects=True, timeout=TIMEOUT_S, headers=headers) as client,
        progress(f"fetching {name}", len(files)) as bar,
    ):
        for file in files:
            path = out / file.name
            is_new = not _is_there(path, file)
            if is_new:
                _download(client, file, path, bar)
            (downloaded if is_new else present).append(file.name)
            checksums[file.name] = sha256_of(path)
            if path.suffix == ".zip" and (is_new or not path.with_suffix("").is_dir()):
                _unpack(path)
            bar.advance()
    return Fetched(
        name=name,
        folder=out,
        downloaded=tuple(downloaded),
        present=tuple(present),
        unverified=tuple(file.name for file in files if file.sha256 is None),
        sha256=checksums,
    )


def _is_there(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and (file.sha256 is None or sha256_of(path) == file.sha256)


def _download(client: httpx.Client, file: RemoteFile, path: Path, bar: Advance) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _continue(client, file, part, bar)
                break
            except (httpx.RequestError, _BrokenTransferError) as error:
                if attempt == ATTEMPTS:
                    raise TransportError(
                        f"{file.address} could not be downloaded: {error or type(error).__name__} "
                        f"({ATTEMPTS} attempts). What has arrived is kept; the same command goes on "
                        "from there."
                    ) from None
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
        if file.sha256 is not None and (found := sha256_of(part)) != file.sha256:
            _forget(part)
            raise TransportError(
                f"{file.address} has SHA-256 {found}, the catalogue says {file.sha256}; it was changed or "
                "damaged on its way and has been thrown away. Try again; if it stays, report it."
            )
        part.replace(path)
        _forget(part)
    except OSError as error:
        raise TransportError(f"{path} cannot be written: {error.strerror or error}.") from None


class _BrokenTransferError(Exception):
    """A transfer that ended early or at the wrong place and can be tried again."""


def _continue(client: httpx.Client, file: RemoteFile, part: Path, bar: Advance) -> None:
    """Append what is missing to the part file; it is complete when this returns."""
    offset, version = _progress_so_far(part)
    headers = {"Range": f"bytes={offset}-", "If-Range": version} if offset else {}
    with client.stream("GET", file.address, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if answer.headers.get("Content-Range") == f"bytes */{offset}":
                return
            _forget(part)
            raise _BrokenTransferError("the part that was kept does not fit the file any more")
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise _BrokenTransferError(f"the server answered {answer.status_code}")
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise TransportError(
                f"{file.address} answered {answer.status_code} {answer.reason_phrase}; the file may have "
                "moved. Look at the data set's home page ('secateur data list') and report the new address."
            )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise TransportError(
                f"{file.address} answered with a web page instead of the file; the address may have moved or "
                "a proxy stands between."
            )
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            _forget(part)
            raise _BrokenTransferError("the server sent another part of the file than was asked for")
        _version_path(part).write_text(_version(answer), encoding="utf-8")
        arrived = offset if resumed else 0
        with part.open("ab" if resumed else "wb") as stream:
            for piece in answer.iter_raw():
                stream.write(piece)
                arrived += len(piece)
                bar.advance(0, file=file.name, MiB=round(arrived / 2**20, 1))
        expected = _total_bytes(answer, offset if resumed else 0)
    if expected is not None and arrived != expected:
        raise _BrokenTransferError(f"{arrived} of {expected} bytes arrived")


def _version_path(part: Path) -> Path:
    return part.with_name(part.name + "-version")


def _version(answer: httpx.Response) -> str:
    """Return what ``If-Range`` takes: a strong ETag, else the date of the last change, else nothing."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def _progress_so_far(part: Path) -> tuple[int, str]:
    """Return the bytes that are kept and of which version; without a version one must start anew."""
    if not part.is_file() or not _version_path(part).is_file():
        return 0, ""
    version = _version_path(part).read_text(encoding="utf-8")
    return (part.stat().st_size, version) if version else (0, "")


def _total_bytes(answer: httpx.Response, offset: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return offset + int(length) if length.isdigit() else None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_path(part).unlink(missing_ok=True)


def _unpack(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive, folder_aside(path.with_suffix("")) as folder:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        path.unlink()
        raise TransportError(f"{path} is not a whole zip file ({error}); fetch it again.") from None
    except OSError as error:
        raise TransportError(f"{path} cannot be unpacked: {error.strerror or error}.") from None

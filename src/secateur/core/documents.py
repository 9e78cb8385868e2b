"""Read YAML and JSON that others wrote: bounded in size, depth and number of values.

A short text can describe an enormous value: brackets nested a million deep, or aliases of aliases. Both are
counted before the value is built.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from secateur.core.errors import DataError

LARGEST_BYTES = 16 << 20
MOST_VALUES = 2_000_000
DEEPEST = 64

_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
"""Numbers as YAML 1.2 has them, dates as text: ``01500`` is no octal number and ``6:00`` no 360 seconds."""

_TAG = "tag:yaml.org,2002:"
_WHOLE = r"(?:0|[1-9][0-9]*)"
_NUMBERS = {
    "int": rf"[-+]?{_WHOLE}",
    "float": rf"[-+]?(?:\.[0-9]+|{_WHOLE}\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN)",
}
_Loader.yaml_implicit_resolvers = {
    sign: [(tag, form) for tag, form in forms if tag.removeprefix(_TAG) not in ("timestamp", *_NUMBERS)]
    for sign, forms in _Loader.yaml_implicit_resolvers.items()
}
for _kind, _form in _NUMBERS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_form})$"), list("-+.0123456789"))


def require_regular_file(path: Path) -> None:
    """Check that a path is a file with an end: not a folder, pipe, socket or device.

    Raises
    ------
    DataError
        If it is missing or something else.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened ({getattr(error, 'strerror', None) or error}).") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise DataError(f"{path} is {kind}; give a regular file.")


def read_yaml(path: Path, *, limit: int = LARGEST_BYTES) -> Any:
    """Return the value of a YAML file.

    Raises
    ------
    DataError
        If it is missing, no regular file, larger than ``limit`` bytes, not YAML, or nested or repeated
        beyond ``DEEPEST`` and ``MOST_VALUES``.
    """
    return parse_yaml(_text(path, limit), path)


def read_json_document(path: Path, *, limit: int = LARGEST_BYTES) -> Any:
    """Return the value of a JSON file; see :func:`read_yaml` for what is refused."""
    return parse_json(_text(path, limit), path)


def parse_yaml(text: str, place: Path | str) -> Any:
    """Return the value of a YAML text; ``place`` names it in messages.

    Raises
    ------
    DataError
        If it is not YAML, names a key twice, or is nested or repeated too much.
    """
    try:
        _count_yaml(text, place)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{place} is not YAML ({one_line(error)}).") from None


def parse_json(text: str | bytes, place: Path | str) -> Any:
    """Return the value of a JSON text; ``place`` names it in messages.

    Raises
    ------
    DataError
        If it is not JSON, or nested deeper than ``DEEPEST``.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise DataError(f"{place} is nested too deeply; at most {DEEPEST} levels are read.") from None
    except ValueError as error:
        raise DataError(f"{place} is not valid JSON ({one_line(error)}); it may be cut short.") from None
    _require_shallow(value, place)
    return value


def _text(path: Path, limit: int) -> str:
    require_regular_file(path)
    with Path(path).open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MiB, the most that is read of such a file.")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16 text; save it again as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it again as UTF-8.") from None


def _count_yaml(text: str, place: Path | str) -> None:
    """Walk over the events of a text, an alias counting as often as what it stands for."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    keys = _Keys(place)
    total = 0
    for event in yaml.parse(text, Loader=_Loader):
        keys.see(event)
        if isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            total += 1
            open_nodes.append((event.anchor, total))
            if len(open_nodes) > DEEPEST:
                raise DataError(f"{place} is nested too deeply; at most {DEEPEST} levels are read.")
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = total - before + 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise DataError(f"{place} repeats '{event.anchor}' inside itself; write it out.")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
        if total > MOST_VALUES:
            raise DataError(f"{place} holds more than {MOST_VALUES} values, aliases written out.")


class _Keys:
    """Refuses a key that stands twice in one mapping: YAML would silently take the last."""

    def __init__(self, place: Path | str) -> None:
        self._place = place
        self._open: list[tuple[set[str] | None, int]] = []
        """Keys of each open mapping (None: a list), and how many nodes were seen in it."""

    def see(self, event: Any) -> None:
        """Take the next event."""
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self._open.pop()
            return
        if not isinstance(event, yaml.NodeEvent):
            return
        if self._open:
            keys, count = self._open[-1]
            self._open[-1] = (keys, count + 1)
            if keys is not None and count % 2 == 0 and isinstance(event, yaml.ScalarEvent):
                if event.value in keys and event.value != "<<":
                    mark = event.start_mark
                    place = f"{self._place}, line {mark.line + 1}" if mark else str(self._place)
                    raise DataError(f"{place}: '{event.value[:60]}' stands twice in one mapping; keep one.")
                keys.add(event.value)
        if isinstance(event, yaml.MappingStartEvent):
            self._open.append((set(), 0))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open.append((None, 0))


def _require_shallow(value: Any, place: Path | str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            entry
            for container in level
            if isinstance(container, (dict, list))
            for entry in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return
    raise DataError(f"{place} is nested too deeply; at most {DEEPEST} levels are read.")


def one_line(error: Exception, *, longest: int = 300) -> str:
    """Return what a library says of an error, without line breaks and not at any length."""
    return " ".join(str(error).split())[:longest] or type(error).__name__

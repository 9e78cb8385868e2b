"""Mistakes in a configuration in words: the key, what stands there, and what may stand there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError

from secateur.edge.agent.config.connections import PREFIX_PATTERN, TOPIC_PATTERN
from secateur.edge.agent.config.parts import NAME_PATTERN, PLANT_NAME_PATTERN, Part, parts_in
from secateur.edge.agent.config.secret import Secret

_ALLOWED = {
    NAME_PATTERN: "letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
    PLANT_NAME_PATTERN: "letters of any language, digits, spaces, '.', '_' and '-', at most 64, a letter or "
    "digit first, no space last",
    TOPIC_PATTERN: "a topic without wildcards that does not begin with '$'",
    PREFIX_PATTERN: "a topic without wildcards, braces and empty levels that does not begin with '$'",
}
_NUMBER, _WHOLE = "a number", "a whole number"
_EXPECTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text; write it in quotes",
    "string_too_long": "at most {max_length} characters",
    "literal_error": "{expected}",
    "tuple_type": "a list: '[...]', or lines that begin with '- '",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "dict_type": "a mapping: 'key: value'",
    "path_type": "a path",
}
_LONGEST = 60


def mistakes(error: ValidationError, whole: type[Part]) -> list[str]:
    """Return one sentence for each mistake.

    Parameters
    ----------
    error : ValidationError
    whole : type of Part
        What the file should have been.
    """
    return [_sentence(entry, whole) for entry in _causes(error)]


def _causes(error: ValidationError) -> Iterator[Any]:
    """Yield what is wrong, without lists that are wrong only because of an entry."""
    found = error.errors(include_url=False)
    for entry in found:
        at = entry["loc"]
        if not any(len(other["loc"]) > len(at) and other["loc"][: len(at)] == at for other in found):
            yield entry


def _sentence(entry: Any, whole: type[Part]) -> str:
    kind, context, given = entry["type"], entry.get("ctx", {}), entry["input"]
    keys, parts = _walked(entry["loc"], whole)
    if kind == "extra_forbidden":
        return f"{_place(keys)}: there is no such key; {_other_keys(entry['loc'], whole)}"
    if kind == "missing":
        return f"{_place(keys)}: must be given"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        known = ", ".join(f"'{tag}'" for tag in _tags(parts))
        told = (
            f"'{str(context['tag'])[:_LONGEST]}' is not allowed; allowed: "
            if "tag" in context
            else "must be given: "
        )
        return f"{_place((*keys, 'type'))}: {told}{known}"
    if kind == "value_error":
        return f"{_place(keys)}: {entry['msg'].removeprefix('Value error, ').rstrip('.')}"
    expected = _EXPECTED[kind].format_map(context) if kind in _EXPECTED else entry["msg"]
    if kind == "string_pattern_mismatch":
        expected = _ALLOWED.get(context["pattern"], entry["msg"])
    if kind == "model_type":
        expected = f"a mapping with {', '.join(_keys(parts))}"
    stands = "what stands there" if Secret in parts else _shown(given)
    return f"{_place(keys)}: {stands} is not allowed here; allowed: {expected}"


def _walked(
    location: Sequence[int | str], whole: type[Part]
) -> tuple[tuple[int | str, ...], list[type[Part]]]:
    """Return the keys of a place as they stand in the file, and the parts that may stand there.

    Where several parts may stand, a location names the ``type`` of the one that is meant. That is no key,
    even if a part has a field of that name: ``folder`` is a type of source, and a field of it.
    """
    parts, keys = [whole], []
    for entry in location:
        if len(parts) > 1 and entry in _tags(parts):
            parts = [part for part in parts if entry in _tags([part])]
            continue
        inner = [part for part in parts if entry in part.model_fields]
        if inner:
            parts = [found for part in inner for found in parts_in(part.model_fields[str(entry)].annotation)]
        keys.append(entry)
    return tuple(keys), parts


def _tags(parts: Iterable[type[Part]]) -> list[str]:
    """Return the values of ``type`` by which parts are told apart."""
    fields = [part.model_fields["type"] for part in parts if "type" in part.model_fields]
    return [tag for field in fields for tag in get_args(field.annotation)]


def _keys(parts: Iterable[type[Part]]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part.model_fields))


def _other_keys(location: Sequence[int | str], whole: type[Part]) -> str:
    known = _keys(_walked(location[:-1], whole)[1])
    near = get_close_matches(str(location[-1]), known, n=1)
    return f"{f'{near[0]} is meant? ' if near else ''}allowed: {', '.join(known)}"


def _place(keys: Sequence[int | str]) -> str:
    return ".".join(map(str, keys)) or "the file"


def _shown(given: object) -> str:
    if isinstance(given, dict):
        return "a mapping"
    if isinstance(given, list | tuple):
        return "a list" if given else "an empty list"
    text = "nothing" if given is None else f"'{given}'" if isinstance(given, str) else str(given)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}...'"

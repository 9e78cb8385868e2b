"""Bearing designations as people write them, brought to one form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from secateur.signals.kinematics import BearingGeometry

MAKERS = (
    *("SKF", "FAG", "INA", "NSK", "NTN", "SNR", "KOYO", "NACHI", "TIMKEN", "FAFNIR", "RHP", "ZKL", "ZWZ"),
    *("HRB", "LYC", "NMB", "ASAHI", "LDK", "REXNORD", "MB", "FYH", "JTEKT", "SCHAEFFLER", "KG", "URB"),
    *("FBJ", "NKE", "KBC", "MRC", "NBC", "CRAFT", "TORRINGTON"),
)
# Seals, shields, clearance, cage, tolerance class: none of them changes the inside.
_SUFFIX = re.compile(
    r"(?:2RS[HLRZ12]*|2RZ|2ZR|2Z|ZZ|ZNR|DDU|DD|VV|LLU|LLB|LLH|RS[HLRZ12]*|Z|NR|N|JEM|J|TN9|TNH|TVP|TVH|ETN9|"
    r"EC[PJM]?[LH]?|EM|EW|E1|E|EA|CC|CAK?|MB|MA|M|K|W33|C[0-5]|CN|CM|P[4-6]|BE[A-Z]*|EP|CBP|BP|BY|A|TT|OPEN|G|"
    r"VA\d+)*"
)
_PARENTHESES = re.compile(r"\(([^)]*)\)")
_SIGNS = re.compile(r"[^A-Z0-9]")
_LONGEST_PREFIX = 4
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_LENGTH = _NUMBER + r"\s*(mm|inch|in|\")"
_COUNT = re.compile(r"(\d+)\s*(?:rolling\s+)?(?:balls|elements|rollers)")
_ELEMENT = re.compile(r"(?:ball|roller|element)s?\s*(?:diameter|dia\.?)?\s*(?:of|is|=|:)?\s*" + _LENGTH)
_PITCH = re.compile(r"pitch\s*(?:circle)?\s*(?:diameter|dia\.?)?\s*(?:of|is|=|:)?\s*" + _LENGTH)
_ANGLE = re.compile(_NUMBER + r"\s*(?:deg|degrees|°)")


def compact(name: str) -> str:
    """Return a name in capitals without spaces and signs: ``6205-2RS`` is ``62052RS``."""
    return _SIGNS.sub("", name.upper())


def match(name: str, known: Collection[str]) -> str | None:
    """Find which known designation a name means, whatever its maker, seals and clearance.

    Words in parentheses and words without digits (``drive end``, ``deep groove``) are passed over.

    Parameters
    ----------
    name : str
        As written: ``SKF6205``, ``6205 2RS JEM``, ``6203-2RS JEM SKF (fan end)``.
    known : collection of str
        Designations in the form that :func:`compact` gives.

    Returns
    -------
    str or None
        One of ``known``; None if there is none, or more than one is meant.
    """
    outside = _PARENTHESES.sub(" ", name).upper()
    for form in (compact(outside), compact(name), *_forms(outside)):
        if form in known:
            return form
        cut = [found for found in known if form.startswith(found) and _SUFFIX.fullmatch(form[len(found) :])]
        if cut:
            return max(cut, key=len)
    return None


def _forms(outside: str) -> Iterator[str]:
    """Yield what may be the designation: with and without the short word before the number (NU 205)."""
    words = [word for word in re.split(r"[\s,;:]+", outside) if compact(word) and word not in MAKERS]
    numbered = [any(sign.isdigit() for sign in word) for word in words]
    before = [place for place in range(len(words) - 1) if numbered[place + 1] and not numbered[place]]
    for prefixes in (True, False):
        kept = [
            word
            for place, word in enumerate(words)
            if numbered[place]
            or (any(numbered[:place]) and _SUFFIX.fullmatch(compact(word)))
            or (prefixes and place in before and len(word) <= _LONGEST_PREFIX)
        ]
        yield _without_maker(compact("".join(kept)))


def _without_maker(joined: str) -> str:
    for maker in MAKERS:
        if joined.startswith(maker) and joined[len(maker) :][:1].isdigit():
            return joined[len(maker) :]
    return joined


def geometry_in(name: str) -> BearingGeometry | None:
    """Read the geometry that a name carries in words; None if it is not complete.

    Such as ``NICE (8 elements, ball 0.235 in, pitch 1.245 in)`` or ``spindle, 9 balls of 7.94 mm, pitch 39.04
    mm, 15 degrees``.

    Raises
    ------
    DataError
        If the dimensions are not those of a bearing.
    """
    words = name.lower()
    count, element, pitch, angle = (pattern.search(words) for pattern in (_COUNT, _ELEMENT, _PITCH, _ANGLE))
    if count is None or element is None or pitch is None:
        return None
    return BearingGeometry(
        designation=name,
        n_balls=int(count[1]),
        ball_diameter_mm=_mm(element),
        pitch_diameter_mm=_mm(pitch),
        contact_angle_deg=float(angle[1]) if angle else 0.0,
    )


def element_count_in(name: str) -> int | None:
    """Return the number of rolling elements that a name states in words; None if it states none."""
    found = _COUNT.search(name.lower())
    return int(found[1]) if found else None


def _mm(length: re.Match[str]) -> float:
    return float(length[1]) * (1.0 if length[2] == "mm" else 25.4)

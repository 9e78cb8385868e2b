"""Make the general text that comes along, ``src/secateur/models/general_text.txt``, from free texts.

apt-get download jargon-text && dpkg-deb -x jargon-text_*.deb jargon
pip download --no-deps --no-binary :all: brotli && tar xzf brotli-*.tar.gz
python benchmarks/general_text.py --brotli brotli-1.2.1/tests/testdata \
    --jargon jargon/usr/share/doc/jargon-text/jargon.txt.gz --out src/secateur/models/general_text.txt

All of it is in the public domain: the Jargon File (technical prose), a workshop of the Library of Congress
(talks, 1992), Alice's Adventures in Wonderland (a story) and As You Like It (drama).
Passages are spread evenly over each text and come in one random order, so that each part of the result holds
all kinds. Every other passage has its line breaks within paragraphs taken out. Passages with crude words stay
behind.
"""

from __future__ import annotations

import argparse
import gzip
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from secateur.core.files import write_aside
from secateur.core.seeds import generator

PASSAGE = 1500
"""Characters in a passage, at least."""
CRUDE = re.compile(
    r"fuck|shit|cunt|sex|porn|nigger|bitch|bastard|whore|suck|drug|piss|penis|crap|damn|\bass\b",
    re.IGNORECASE,
)


def sources(jargon: Path, brotli: Path) -> Iterator[tuple[str, int]]:
    """Return each text without its front and back matter, and how many characters to take of it."""
    lines = gzip.decompress(jargon.read_bytes()).decode("utf-8").splitlines()
    first, last = lines.index("   :attoparsec: n."), lines.index("   :zorch: /zorch/")
    without_links = re.sub(r"\{([^{}]*)\}", r"\1", "\n".join(lines[first:last]))
    yield textwrap.dedent(without_links), 90_000

    def between(name: str, begin: str, end: str) -> str:
        text = (brotli / name).read_text("latin-1")
        start = text.index(begin)
        return text[start : text.index(end, start)]

    yield (
        between("lcet10.txt", "MICHELSON * Elements", "                          Appendix I:  PROGRAM"),
        50_000,
    )
    yield between("alice29.txt", "  Alice was beginning", "THE END"), 40_000
    yield between("asyoulik.txt", "ACT I\n", "EPILOGUE"), 25_000


def passages(text: str, characters: int) -> list[str]:
    """Return whole paragraphs, spread evenly over a text."""
    found: list[str] = []
    gathered: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        gathered.append(paragraph.strip("\n"))
        if sum(map(len, gathered)) >= PASSAGE:
            found.append("\n\n".join(gathered))
            gathered = []
    found = [passage for passage in found if not CRUDE.search(passage)]
    wanted = -(-characters // PASSAGE)
    chosen = [found[number * len(found) // wanted] for number in range(min(wanted, len(found)))]
    return [_in_one_line_each(passage) if number % 2 else passage for number, passage in enumerate(chosen)]


def _in_one_line_each(passage: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in passage.split("\n\n"))


def main() -> None:
    """Read the options and write the text."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("jargon", "brotli", "out"):
        options.add_argument(f"--{name}", type=Path, required=True)
    given = options.parse_args()
    found = [
        passage
        for text, characters in sources(given.jargon, given.brotli)
        for passage in passages(text, characters)
    ]
    order = generator(0, "order of passages").permutation(len(found))
    with write_aside(given.out) as path:
        path.write_text("\n\n\n".join(found[number] for number in order) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The three texts that cut language models are judged on: one like the calibration text, two unlike it.

apt-get install debian-faq fortunes
"""

from __future__ import annotations

import gzip
import pydoc_data.topics
from pathlib import Path

from secateur.core.errors import DataError

FAQ = Path("/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz")
FORTUNES = Path("/usr/share/games/fortunes")
DRAWINGS = ("art", "ascii-art", "translate-me")
TEXTS = ("Python docs", "Debian FAQ", "fortunes")
"""Names of the texts to judge on."""


def texts() -> dict[str, str]:
    """Return what is judged on, by name, and what is calibrated or trained on."""
    topics = pydoc_data.topics.topics
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    for path in (FAQ, FORTUNES):
        if not path.exists():
            raise DataError(f"{path} is not there; run: apt-get install debian-faq fortunes")
    names = sorted(path.with_suffix("") for path in FORTUNES.glob("*.u8"))
    sayings = "".join(path.read_text(encoding="utf-8") for path in names if path.name not in DRAWINGS)
    sayings = sayings.replace("\n%\n", "\n\n")
    with gzip.open(FAQ, "rt", encoding="utf-8") as stream:
        faq = stream.read()
    own = whole[: int(0.6 * len(whole))]
    return {
        "calibration": own,
        "training": "\n\n".join([own, faq[: len(faq) // 2], sayings[: len(sayings) // 2]]),
        "Python docs": whole[int(0.75 * len(whole)) :],
        "Debian FAQ": faq[len(faq) // 2 :],
        "fortunes": sayings[len(sayings) // 2 :],
    }

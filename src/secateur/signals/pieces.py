"""Drawing pieces of recordings: for random splits and for few labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from secateur.core.errors import DataError
from secateur.core.seeds import generator
from secateur.signals.segment import UNLABELLED, Segment

MOST_PIECES = 10
TEST_SHARE = VALIDATION_SHARE = 0.2


def cut(segment: Segment, n_pieces: int) -> list[Segment]:
    """Cut a segment into pieces of equal length that follow each other."""
    borders = np.linspace(segment.start, segment.stop, n_pieces + 1).round().astype(int)
    return [replace(segment, start=int(start), stop=int(stop)) for start, stop in pairwise(borders)]


def random_pieces(
    segments: Sequence[Segment], seed: int, piece_s: float
) -> tuple[tuple[Segment, ...], tuple[Segment, ...], tuple[Segment, ...]]:
    """Deal pieces of each segment to training, validation and test, about 60, 20 and 20 %.

    Parameters
    ----------
    segments : sequence of Segment
    seed : int
    piece_s : float
        Least length of a piece in seconds; a segment gives three to ten pieces.

    Raises
    ------
    DataError
        If a segment is too short for three pieces.
    """
    sides: tuple[list[Segment], list[Segment], list[Segment]] = ([], [], [])
    for segment in segments:
        n_pieces = min(MOST_PIECES, int(segment.duration_s / piece_s))
        if n_pieces < 3:
            raise DataError(
                f"split 'random_window': recording {segment.recording.recording_id} lasts "
                f"{segment.duration_s:.3f} s; it must hold three pieces of {piece_s:g} s. Leave it out, or "
                "take shorter windows (--window-length), with which pieces are shorter too."
            )
        pieces = cut(segment, n_pieces)
        order = generator(seed, "random_window", segment.recording.recording_id, segment.start)
        shuffled = [pieces[number] for number in order.permutation(n_pieces)]
        n_test = max(1, round(TEST_SHARE * n_pieces))
        n_validation = max(1, round(VALIDATION_SHARE * n_pieces))
        sides[2].extend(shuffled[:n_test])
        sides[1].extend(shuffled[n_test : n_test + n_validation])
        sides[0].extend(shuffled[n_test + n_validation :])
    return tuple(sides[0]), tuple(sides[1]), tuple(sides[2])


def keep_few_labels(
    segments: Sequence[Segment], percent: float, seed: int, piece_s: float
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Keep the labels of some pieces of each class, at least one, and take them off the others.

    Parameters
    ----------
    segments : sequence of Segment
        Labelled ones.
    percent : float
        Share of the pieces that keep their label.
    seed : int
    piece_s : float
        Least length of a piece in seconds.

    Returns
    -------
    labelled, unlabelled : tuple of Segment
    """
    pieces_of: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments:
        pieces_of[segment.label] += cut(segment, max(1, int(segment.duration_s / piece_s)))
    kept: list[Segment] = []
    others: list[Segment] = []
    for label in sorted(pieces_of):
        pieces = pieces_of[label]
        count = max(1, round(percent / 100.0 * len(pieces)))
        chosen = set(generator(seed, "few_labels", label).permutation(len(pieces))[:count].tolist())
        for number, piece in enumerate(pieces):
            if number in chosen:
                kept.append(piece)
            else:
                others.append(replace(piece, label=UNLABELLED))
    return tuple(kept), tuple(_joined(others))


def _joined(pieces: Sequence[Segment]) -> list[Segment]:
    joined: list[Segment] = []
    for piece in pieces:
        if joined and joined[-1].recording is piece.recording and joined[-1].stop == piece.start:
            joined[-1] = replace(joined[-1], stop=piece.stop)
        else:
            joined.append(piece)
    return joined

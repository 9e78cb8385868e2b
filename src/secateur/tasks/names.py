"""Names that results hold: what a model is judged on, and how good it is."""

from __future__ import annotations

from typing import Literal

ObjectiveName = Literal["classification", "language", "embedding"]
"""What is judged: the class of a sample, the next token, or (without a task) the embedding."""

ScoreName = Literal["accuracy", "perplexity_ratio", "cosine"]
"""How good a model is: accuracy; perplexity over that of the dense model; cosine to its embedding."""

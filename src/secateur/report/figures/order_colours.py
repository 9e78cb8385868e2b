"""Colours and words of the pictures of orders (Okabe and Ito's colours, told apart by all readers)."""

from __future__ import annotations

REFERENCE = "#D55E00"
PLAIN = "#0072B2"
SEED = "#777777"
MODELS = {"dense": "#000000", "layers": "#0072B2", "groups": "#009E73", "channels": "#D55E00"}

ARM_WORDS = {
    "joint": "joint one-shot, scored on the dense model",
    "dense": "dense with the same recovery",
}


def arm_in_words(name: str) -> str:
    """Write the name of an arm for an axis: 'layers-groups-channels' -> 'layers → groups → channels'."""
    return ARM_WORDS.get(name, name.replace("-", " → "))

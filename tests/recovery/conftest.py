"""Fixtures: two-layer diagnosers of both families on tones."""

from patch_diagnosers import _quiet, batches, diagnoser, train, validation

__all__ = ["_quiet", "batches", "diagnoser", "train", "validation"]

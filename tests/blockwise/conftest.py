"""Fixtures: diagnosers of both families, and windows of tones to calibrate on."""

from patch_diagnosers import _quiet, batches, diagnoser, train

__all__ = ["_quiet", "batches", "diagnoser", "train"]

"""Scoring: calibration samples, criteria of importance, loss of layers, and allocation of a budget."""

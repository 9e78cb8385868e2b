"""Scoring: calibration samples, criteria of importance, loss of layers, and allocation of a budget."""

from secateur.core.extras import require_packages

require_packages("secateur.scoring", "torch", "transformers", "safetensors")

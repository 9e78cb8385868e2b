"""Fitting a diagnoser, its rivals, and the figures that judge them."""

from secateur.core.extras import require_packages

require_packages("secateur.training", "torch", "transformers", "safetensors")

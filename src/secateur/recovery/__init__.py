"""Winning back what a cut costs: least-squares re-fit, then adapters with distillation."""

from secateur.core.extras import require_packages

require_packages("secateur.recovery", "torch", "transformers", "safetensors")

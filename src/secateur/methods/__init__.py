"""Methods: whole ways from a dense model and a budget to a small one, behind one interface."""

from secateur.core.extras import require_packages

require_packages("secateur.methods", "torch", "transformers", "safetensors")

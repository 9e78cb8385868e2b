"""Running a transformer one block at a time."""

from secateur.core.extras import require_packages

require_packages("secateur.blockwise", "torch", "transformers", "safetensors")

"""Surgery: a plan carried out on a model, and the zero masks that prove it right."""

from secateur.core.extras import require_packages

require_packages("secateur.surgery", "torch", "transformers", "safetensors")

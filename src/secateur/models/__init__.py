"""Models: the Diagnoser, binding of specifications to live modules, checkpoints."""

from secateur.core.extras import require_packages

require_packages("secateur.models", "torch", "transformers", "safetensors")

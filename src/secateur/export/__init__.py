"""What goes to the device: the ONNX graph, its parity with the checkpoint, and the bundle around both."""

from secateur.core.extras import require_packages

require_packages("secateur.export", "torch", "transformers", "safetensors")

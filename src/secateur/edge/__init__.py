"""On the device: a verified bundle that diagnoses waveforms; imports neither torch nor transformers."""

from secateur.edge.runtime import Runtime

__all__ = ["Runtime"]

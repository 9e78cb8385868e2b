"""Hand-made descriptors of vibration windows, the inputs of the classical baselines."""

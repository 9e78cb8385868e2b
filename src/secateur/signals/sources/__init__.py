"""Waveforms in files, one module a format, each read piece by piece."""

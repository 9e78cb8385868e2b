"""Latency, memory and energy of a bundle, measured in processes of their own."""

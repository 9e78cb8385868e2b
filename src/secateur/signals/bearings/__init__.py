"""Bearings by name, by geometry, or by multiples of the shaft rate."""

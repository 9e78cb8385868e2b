"""Weights in a compact form (sparse, rounded, low rank), used as the matrices that they stand for."""

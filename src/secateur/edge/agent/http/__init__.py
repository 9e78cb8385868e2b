"""The HTTP interface: JSON, live events, uploads, inference and metrics."""

"""Payloads of Sparkplug B: a codec, and the session of one edge node."""

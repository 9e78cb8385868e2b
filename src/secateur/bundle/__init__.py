"""Bundles where they are used: manifest, checks, archives, signatures and the runtime's session; no torch."""

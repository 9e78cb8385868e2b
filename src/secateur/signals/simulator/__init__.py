"""A simulated test rig with damaged bearings, from the physics of knocks, load zone and structure."""

from secateur.signals.simulator.collection import simulated_recordings

__all__ = ["simulated_recordings"]

"""Vibration: recordings, windows, splits, bearing kinematics, descriptors, a simulated rig. No torch."""

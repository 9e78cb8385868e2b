"""How a model behaves when units are taken out, measured on calibration data."""

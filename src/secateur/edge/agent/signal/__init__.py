"""From samples to condition indicators: quality, averaged spectra, levels."""

"""From raw windows to tokens, inside the exported graph: fault lines and spectrogram frames."""

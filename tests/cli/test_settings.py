"""From options to settings."""

from __future__ import annotations

from secateur.cli.settings import cut_settings


def test_recovery_takes_steps_of_the_rate_that_the_dense_model_was_trained_with():
    cut = cut_settings(
        method="cascade",
        ratio=2.0,
        criterion=None,
        hand=None,
        multiple=None,
        min_accuracy=None,
        recovery_steps=60,
        batch_size=16,
        learning_rate=3e-4,
    )
    assert (cut.recovery.learning_rate, cut.recovery.max_steps, cut.recovery.batch_size) == (3e-4, 60, 16)

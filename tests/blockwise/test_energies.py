"""Energies are mean squares over tokens that are no padding."""

from __future__ import annotations

import torch

from secateur.blockwise.energies import Energies


def test_energies_are_those_of_all_tokens_but_padding():
    draw = torch.randn(3, 700, 5, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(700) < torch.tensor([[700], [3], [250]])
    seen = Energies(mask.split(2))
    for number, batch in enumerate(draw.split(2)):
        seen.see(number, "ffn_output", batch, batch)
    expected = draw[mask].double().square().mean(dim=0)
    torch.testing.assert_close(seen.mean_squares()["channel"], expected)

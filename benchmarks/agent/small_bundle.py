"""Writes the bundle of the load's row ``small``: ``small-mha`` cut by 13.0, random weights; needs torch.

``python benchmarks/agent/small_bundle.py FOLDER`` and then ``load.py --bundle "FOLDER/small cut"``. Time and
memory do not depend on the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from base_against_cut import export_device

FOUR_LAYERS = dict.fromkeys((0, 1, 2, 3), (3, 140))
"""Layer: heads and channels that stay."""


if __name__ == "__main__":
    print(export_device(Path(sys.argv[1]), FOUR_LAYERS))

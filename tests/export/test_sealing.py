"""What a device would refuse is refused when it is exported, with the field and what was given."""

from __future__ import annotations

import json
import math

import pytest

from secateur.bundle.manifest import Manifest
from secateur.core.errors import ExportError
from secateur.export.sealing import described_as


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "two\nlines"}, r"name: .*given: 'two\\nlines'"),
        ({"name": ""}, "name: "),
        ({"labels": ("normal", "normal")}, "a label stands there twice"),
        ({"metrics": {"protocol": "load", "leaks": True, "values": {"accuracy": math.nan}}}, "accuracy: "),
    ],
)
def test_what_no_device_would_read_is_an_error_of_the_export(bundle_folder, change, message):
    fields = json.loads((bundle_folder / "manifest.json").read_text())
    assert described_as(Manifest, **fields).name == "tiny"
    with pytest.raises(ExportError, match=f"cannot be described: .*{message}"):
        described_as(Manifest, **fields | change)

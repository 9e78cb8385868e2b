"""Put a pre-trained diagnoser in the place of the one that comes with the package.

    secateur pretrain --out RUN --machines 49152 --steps 5000
    python benchmarks/ship_foundation.py --run RUN

The checkpoint goes to ``src/secateur/models/foundation``, its bundle to ``src/secateur/edge/foundation``.
Neither keeps the command, which names folders of one's own, nor the looks at the validation machines. The
bundle has no verdict: it was judged on no user's machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from secateur.bundle.manifest import MANIFEST_FILE, Manifest
from secateur.core.provenance import provenance
from secateur.edge.foundation import SHIPPED
from secateur.export.sealing import seal
from secateur.models import checkpoint
from secateur.models.foundation import FOUNDATIONS
from secateur.workflow.export import export_bundle
from secateur.workflow.steps import load_for_task

FIT = ("steps", "samples_seen", "validation_macro_f1")
NAME = "foundation micro"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of secateur pretrain")
    given = parser.parse_args()
    model, task, preparation = load_for_task(given.run / "dense")
    described = checkpoint.describe(given.run / "dense")
    metadata = dict(described.metadata)
    metadata["fit"] = {figure: metadata["fit"][figure] for figure in FIT}
    origin = provenance()
    metadata["provenance"] = {name: origin[name] for name in ("versions", "time_utc")}
    checkpoint.save(model, FOUNDATIONS["foundation-micro"], metadata=metadata)
    info = export_bundle(model, preparation, folder=SHIPPED, plan=described.plan, name=NAME, seed=task.seed)
    lineage = info.manifest.lineage.model_copy(update={"command": None})
    (SHIPPED / MANIFEST_FILE).unlink()
    seal(SHIPPED, Manifest.model_copy(info.manifest, update={"lineage": lineage, "verdict": None}))


if __name__ == "__main__":
    main()

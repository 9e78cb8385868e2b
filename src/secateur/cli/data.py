"""``secateur data``: list, fetch, check and describe recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secateur.cli import options
from secateur.cli.counted import counted

if TYPE_CHECKING:
    from secateur.signals.checks.run import Report
    from secateur.signals.describe import Summary

app = typer.Typer(help="List, fetch, check and describe recordings.", no_args_is_help=True)

DataPath = Annotated[
    Path, typer.Argument(help="Folder of recordings, or a YAML that describes them.", show_default=False)
]


@app.command("list")
def list_data_sets(as_json: options.AsJson = False) -> None:
    """List the public data sets that can be fetched, and the layouts that can be read."""
    from rich.table import Table

    from secateur.cli.console import Console
    from secateur.signals.catalogue import public_data_sets
    from secateur.signals.readers.open import LAYOUTS

    data_sets = public_data_sets()
    if as_json:
        entries = [
            {"name": name, **entry.model_dump(exclude={"files", "sha256"}), "files": len(entry.files)}
            for name, entry in data_sets.items()
        ]
        layouts = [{"name": layout.name, "looks_like": layout.looks_like} for layout in LAYOUTS]
        typer.echo(json.dumps({"data_sets": entries, "layouts": layouts}))
        return
    table = Table(title="Public data sets (secateur data fetch NAME --out DIR)")
    for heading in ("name", "title", "files", "terms", "home"):
        table.add_column(heading, overflow="fold")
    for name, entry in data_sets.items():
        table.add_row(name, entry.title, str(len(entry.files)), entry.terms, entry.home)
    known = Table(title="Layouts that are read")
    for heading in ("layout", "looks like"):
        known.add_column(heading, overflow="fold")
    for layout in LAYOUTS:
        known.add_row(layout.name, layout.looks_like)
    console = Console()
    console.print(table)
    console.print(known)


@app.command("check")
def check_recordings(
    path: DataPath,
    split: Annotated[
        str | None,
        typer.Option(help="Split protocol that must be possible; default: any where there are labels."),
    ] = None,
    window_length: options.WindowLength = None,
    as_json: options.AsJson = False,
) -> None:
    """Look for missing, damaged, misleading or contradictory recordings; exit code 2 if any is unusable."""
    from contextlib import nullcontext

    from secateur.core.progress import quiet
    from secateur.core.records import to_jsonable
    from secateur.signals.checks.run import check
    from secateur.signals.windows import WINDOW_LENGTH

    with quiet() if as_json else nullcontext():
        report = check(path, split=split, window_length=window_length or WINDOW_LENGTH)
    n_errors = report.count("error")
    if as_json:
        typer.echo(json.dumps({"errors": n_errors, **to_jsonable(report)}))
    else:
        _print_report(path, report)
    if n_errors:
        raise typer.Exit(2)


def _print_report(path: Path, report: Report) -> None:
    from rich.table import Table

    from secateur.cli.console import Console
    from secateur.signals.checks.run import condensed

    console = Console()
    if report.findings:
        table = Table(title=str(path))
        for heading in ("severity", "check", "subject", "finding"):
            table.add_column(heading, overflow="fold")
        for finding in condensed(report.findings):
            table.add_row(finding.severity, finding.code, finding.subject, finding.message)
        console.print(table)
    splits = Table(title="Splits for training")
    for heading in ("split", "possible", "one bearing on both sides", "why"):
        splits.add_column(heading, overflow="fold")
    for verdict in report.splits:
        leaks = ("yes" if verdict.leaks else "no") if verdict.possible else ""
        splits.add_row(verdict.protocol, "yes" if verdict.possible else "no", leaks, verdict.reason)
    console.print(splits)
    console.print(
        f"{counted(report.files_read, 'file')} read, {counted(report.recordings, 'recording')}, "
        f"{report.duration_s:.1f} s: {counted(report.count('error'), 'error')}, "
        f"{counted(report.count('warning'), 'warning')}, {counted(report.count('note'), 'note')}.",
        soft_wrap=True,
    )


@app.command("describe")
def describe_recordings(
    path: DataPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for pictures: waveform, spectrum and envelope of each class.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Count classes, groups, rates and seconds, and picture an example of each class."""
    from secateur.core.outputs import result_at
    from secateur.core.records import to_jsonable
    from secateur.signals.describe import describe
    from secateur.signals.readers.open import load_recordings

    recordings = load_recordings(path)
    summary = describe(recordings)
    pictures = []
    if out is not None:
        from secateur.signals.pictures import PICTURES_RECORD, picture_recordings

        with result_at(out, marker=PICTURES_RECORD, overwrite=overwrite):
            pictures = picture_recordings(recordings, out)
    if as_json:
        typer.echo(json.dumps({**to_jsonable(summary), "pictures": to_jsonable(pictures)}))
        return
    _print_summary(path, summary)
    for picture in pictures:
        typer.echo(f"picture: {picture}")


def _print_summary(path: Path, summary: Summary) -> None:
    from rich.table import Table

    from secateur.cli.console import Console

    table = Table(
        title=f"{path}: {counted(summary.recordings, 'recording')}, {counted(summary.groups, 'group')}, "
        f"{summary.duration_s:.0f} s"
    )
    for heading in ("data set", "class", "files", "groups", "seconds", "Hz", "rpm", "loads", "mil"):
        table.add_column(heading, overflow="fold")
    for entry in summary.classes:
        values = (entry.sampling_rates_hz, entry.speeds_rpm, entry.loads, entry.fault_sizes_mil)
        table.add_row(
            entry.dataset,
            entry.label,
            str(entry.recordings),
            str(len(entry.groups)),
            f"{entry.duration_s:.0f}",
            *(", ".join(f"{value:g}" for value in found) or "-" for found in values),
        )
    Console().print(table)


@app.command("fetch")
def fetch_data_set(
    name: Annotated[str, typer.Argument(help="Name from 'secateur data list'.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the files.", show_default=False)],
    as_json: options.AsJson = False,
) -> None:
    """Download a public data set from its makers; a broken download goes on where it stopped."""
    from contextlib import nullcontext

    from secateur.core.progress import quiet
    from secateur.core.records import to_jsonable
    from secateur.signals.fetch import fetch

    with quiet() if as_json else nullcontext():
        fetched = fetch(name, out)
    if as_json:
        typer.echo(json.dumps(to_jsonable(fetched)))
        return
    typer.echo(
        f"{name}: {counted(len(fetched.downloaded), 'file')} downloaded, {len(fetched.present)} were there, "
        f"in {out}. Checksum not known for {len(fetched.unverified)}. Next: secateur data check {out}"
    )

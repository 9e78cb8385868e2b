"""``secateur diagnose``: recordings through a bundle."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import bearing_options, options
from secateur.cli.counted import counted


def diagnose(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Recordings, or folders of them: WAV, FLAC, NPY, NPZ, CSV, MAT, Parquet, TDMS, LVM, UFF.",
            show_default=False,
        ),
    ] = None,
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Bundle folder or .sct archive; default: the foundation diagnoser that comes with secateur, "
            "trained on simulated machines alone.",
            show_default=False,
        ),
    ] = None,
    out: options.Out,
    description: options.Description = None,
    sampling_rate: options.SamplingRate = None,
    channel: Annotated[
        str | None,
        typer.Option(help="Channel by name or number; default: that which the model was trained on."),
    ] = None,
    shaft_rpm: Annotated[
        float | None,
        typer.Option(help="Shaft speed in rpm; without it the model goes by the spectrum alone.", min=1.0),
    ] = None,
    bearing: bearing_options.Name = None,
    balls: bearing_options.Balls = None,
    ball_mm: bearing_options.BallMm = None,
    pitch_mm: bearing_options.PitchMm = None,
    angle: bearing_options.Angle = None,
    orders: bearing_options.Orders = None,
    hop_s: Annotated[
        float | None, typer.Option(help="Seconds between windows; default: side by side.", min=0.001)
    ] = None,
    public_key: options.PublicKey = None,
    own_healthy: Annotated[
        Path | None,
        typer.Option(
            help="File that 'secateur commission --healthy' wrote for this machine; it decides what is "
            "normal.",
            show_default=False,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Diagnose recordings of any length: a table of windows, a summary and a picture of each."""
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.edge.foundation import SHIPPED
    from secateur.edge.runtime import Runtime
    from secateur.workflow.diagnosis import diagnose as diagnose_all
    from secateur.workflow.diagnosis_folders import SUMMARY
    from secateur.workflow.diagnosis_subjects import UNKNOWN, Given, Unreadable, find_subjects

    known = bearing_options.bearing_from(bearing, balls, ball_mm, pitch_mm, angle, orders)
    with quiet() if as_json else nullcontext(), result_at(out, marker=SUMMARY, overwrite=overwrite):
        runtime = Runtime(bundle or SHIPPED, trusted=public_key or (), own_healthy=own_healthy)
        given = Given(
            sampling_rate_hz=sampling_rate,
            channel=channel,
            shaft_speed_rpm=shaft_rpm,
            fault_orders=None if known is None else known.orders,
            trained_on=runtime.manifest.channel or UNKNOWN,
        )
        unreadable: list[Unreadable] = []
        subjects = find_subjects(files or [], given, description=description, passed_over=unreadable)
        result = diagnose_all(subjects, runtime, out, hop_s=hop_s, unreadable=unreadable)
    if as_json:
        typer.echo(json.dumps(result))
    elif "recordings" in result:
        _show_all(result, out)
    else:
        _show(result, out)
    if result.get("without_diagnosis"):
        raise typer.Exit(1)


def _show(result: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    from secateur.cli.console import Console

    console = Console()
    title = f"{result['file']}, channel {result['channel']}: {_answer(result['judgement'])}"
    console.print(title, style="bold", soft_wrap=True, highlight=False)
    table = Table()
    table.add_column("class")
    table.add_column("windows", justify="right")
    table.add_column("mean probability", justify="right")
    for label, share in result["mean_probabilities"].items():
        name = label.replace("_", " ")
        table.add_row(name, str(result["decisions"][label]), f"{100 * share:.1f} %")
    console.print(table)
    for sentence in _judgement_sentences(result):
        console.print(sentence, soft_wrap=True, highlight=False)
    passed_over = {name: n for name, n in result["usability"].items() if name != "usable"}
    for name, number in passed_over.items():
        console.print(f"{counted(number, 'window')} passed over: {name}")
    for doubt in result["doubts"]:
        console.print(f"doubtful: {doubt}", soft_wrap=True, highlight=False)
    if (share := result["recorded_share_of_window"]) < 0.995:
        console.print(f"{100 * share:.0f} % of a window was recorded; its end is mirrored", highlight=False)
    if result["shaft_speed_used_rpm"] != result["shaft_speed_rpm"]:
        console.print(f"the diagnosis goes by {result['shaft_speed_used_rpm']:.0f} rpm", highlight=False)
    unit = f" in {result['unit']}" if result["unit"] else ""
    rpm = result["shaft_speed_rpm"]
    speed = "speed unknown" if rpm is None else f"{rpm:g} rpm"
    windows = counted(result["windows"], "window")
    layout = f"; layout {result['layout']}" if result["layout"] else ""
    pictures = ", ".join(str(path) for path in sorted(out.glob("*.svg")))
    console.print(
        f"channel {result['channel']}{unit} ({result['channel_chosen_by']}), "
        f"{result['sampling_rate_hz']:g} Hz, {speed}{layout}; {windows}, "
        f"{result['duration_s']:.1f} s of recording in {result['seconds']:.1f} s "
        f"({result['times_real_time']:.0f} times real time); pictures: {pictures}",
        soft_wrap=True,
        highlight=False,
    )


def _in_words(answer: str | None) -> str:
    return "cannot say" if answer is None else answer.replace("_", " ")


def _answer(judgement: dict[str, Any]) -> str:
    """Say the answer; of one that is open also whether the machine runs as when it was healthy."""
    unlike = judgement["answer"] is None and judgement["unlike_healthy"]
    return _in_words(judgement["answer"]) + ", but not as when healthy" * bool(unlike)


def _judgement_sentences(result: dict[str, Any]) -> list[str]:
    """Reasons, evidence and verdict, one sentence each."""
    from secateur.edge.own_healthy import NORMAL

    judgement, verdict = result["judgement"], result["verdict"]
    sentences = [f"cannot say: {reason}" for reason in judgement["reasons"]]
    if judgement["label"] != NORMAL:
        sentences += [
            f"unlike the machine's own healthy recordings: {difference}"
            for difference in judgement["unlike_healthy"] or ()
        ]
    if judgement["evidence"] is None:
        sentences.append(f"no evidence of fault lines: {judgement['no_evidence']}")
    else:
        lines = [
            f"{family.upper()} {line['strength_db']:z.0f} dB ({line['harmonics']} of 4 harmonics, "
            f"{line['sidebands']} sidebands)"
            for family, line in judgement["evidence"]["lines"].items()
        ]
        sentences.append(f"lines over noise: {', '.join(lines)}")
        sentences.append(f"the envelope rule: {_in_words(judgement['rule']['label'])}")
        if judgement["answer"] == "ball" != judgement["rule"]["label"]:
            likeliest = max(result["mean_probabilities"], key=result["mean_probabilities"].__getitem__)
            if likeliest != "ball":
                sentences.append(
                    f"a damaged {_in_words(likeliest)} would show its lines, and hardly one is there; of "
                    f"what is left a ball has {100 * judgement['confidence']:.0f} %"
                )
            sentences.append(
                "a damaged ball seldom raises lines, so none bears this out; cavitation, rubbing and loose "
                "parts knock like one"
            )
    return sentences + _unfit(verdict)


def _unfit(verdict: dict[str, Any] | None) -> list[str]:
    reasons = () if verdict is None or verdict["fit_for_use"] else verdict["reasons"]
    return [f"this model is not fit for use: {reason}" for reason in reasons]


def _sentences_on_all(entries: list[dict[str, Any]]) -> list[str]:
    """Why nothing is said of some recordings, how many are doubtful, and the verdict."""
    from collections import Counter

    told = [entry for entry in entries if entry["label"] is not None]
    reasons = Counter(
        re.split(r": | \(", reason)[0] for entry in told for reason in entry["judgement"]["reasons"]
    )
    sentences = [f"cannot say of {number}: {reason}" for reason, number in reasons.most_common()]
    layouts = Counter(entry["layout"] for entry in told if entry["layout"])
    sentences += [
        f"{counted(number, 'recording')} read by the layout {name}" for name, number in layouts.items()
    ]
    doubtful = [f"{entry['recording']}: {entry['doubts'][0]}" for entry in told if entry["doubts"]]
    if doubtful:
        sentences.append(f"doubtful are {len(doubtful)}; the first, {doubtful[0]}")
    return sentences + _unfit(told[0]["verdict"])


def _confidence(judgement: dict[str, Any]) -> str:
    """Confidence in the answer, or in the likeliest class, which is then named."""
    named = f"{_in_words(judgement['label'])} " * (judgement["answer"] is None)
    return f"{named}{100 * judgement['confidence']:.1f} %"


def _show_all(result: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    from secateur.cli.console import Console

    console = Console()
    table = Table(title=counted(len(result["recordings"]), "recording"))
    for heading in ("recording", "channel", "class", "windows", "confidence"):
        number = heading in ("windows", "confidence")
        table.add_column(heading, overflow="fold", justify="right" if number else "left")
    for entry in result["recordings"]:
        if entry["label"] is None:
            table.add_row(entry["recording"], entry["channel"], entry["error"], "", "")
            continue
        table.add_row(
            entry["recording"],
            entry["channel"],
            _answer(entry["judgement"]) + " (doubtful)" * bool(entry["doubts"]),
            str(entry["windows"]),
            _confidence(entry["judgement"]),
        )
    console.print(table)
    for sentence in _sentences_on_all(result["recordings"]):
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print(
        f"table: {out / 'recordings.csv'}; picture: {out / 'recordings.svg'}; reasons: "
        f"{out / 'diagnosis.json'}",
        soft_wrap=True,
        highlight=False,
    )

"""``secateur commission``: learn what is healthy for one machine, for an agent's sensor or for a bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import bearing_options, options
from secateur.cli.counted import counted

if TYPE_CHECKING:
    from secateur.workflow.diagnosis_subjects import Given


def commission(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="YAML file of an agent; or, with --healthy, a bundle (default: the diagnoser that comes "
            "with secateur).",
            show_default=False,
        ),
    ] = None,
    *,
    sensor: Annotated[
        str | None, typer.Option(help="MACHINE/SENSOR of the agent.", show_default=False)
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            help="NPY, NPZ or WAV of the agent's healthy machine; without it, show the baseline.",
            show_default=False,
        ),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget what the agent's sensor learned before.")
    ] = False,
    healthy: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recording of the healthy machine for a bundle, or a folder of them. Repeatable.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for 'secateur diagnose --own-healthy'.", show_default=False),
    ] = None,
    description: options.Description = None,
    sampling_rate: options.SamplingRate = None,
    channel: Annotated[
        str | None, typer.Option(help="Channel: its number for an agent, name or number for a bundle.")
    ] = None,
    shaft_rpm: Annotated[
        float | None, typer.Option(help="Shaft speed in rpm during the recording.", min=0.1)
    ] = None,
    bearing: bearing_options.Name = None,
    balls: bearing_options.Balls = None,
    ball_mm: bearing_options.BallMm = None,
    pitch_mm: bearing_options.PitchMm = None,
    angle: bearing_options.Angle = None,
    orders: bearing_options.Orders = None,
    public_key: options.PublicKey = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn a machine's own healthy state.

    For an agent: learn or show the baseline of a sensor, in each operating band; stop the agent before
    learning. For a bundle (--healthy, --out): learn from the machine's healthy recordings, over all speeds
    and loads, what 'diagnose --own-healthy' may call normal there.
    """
    from secateur.core.errors import ConfigError

    for_bundle = {
        "--out": out,
        "--description": description,
        "--sampling-rate": sampling_rate,
        "--public-key": public_key,
        "--bearing": bearing,
        "--balls": balls,
        "--ball-mm": ball_mm,
        "--pitch-mm": pitch_mm,
        "--angle": angle,
        "--orders": orders,
    }
    for_agent = {"--sensor": sensor, "--recording": recording, "--forget": forget or None}
    with_bundle = bool(healthy) or description is not None
    unfit = [name for name, value in (for_agent if with_bundle else for_bundle).items() if value is not None]
    if unfit:
        what = "an agent's sensor; leave --healthy out" if with_bundle else "a bundle; give --healthy too"
        raise ConfigError(f"{', '.join(unfit)} is for {what}.")
    if not with_bundle:
        if target is None or sensor is None:
            raise ConfigError(
                "nothing to commission: give an agent's YAML file with --sensor MACHINE/SENSOR, or healthy "
                "recordings with --healthy FILE and --out FILE.json."
            )
        _show_baseline(
            _of_agent(target, sensor, recording, channel, shaft_rpm, forget=forget), as_json=as_json
        )
        return
    if out is None:
        raise ConfigError("--healthy needs --out FILE.json, where the limits are written.")
    from secateur.workflow.diagnosis_subjects import Given

    known = bearing_options.bearing_from(bearing, balls, ball_mm, pitch_mm, angle, orders)
    given = Given(
        sampling_rate_hz=sampling_rate,
        channel=channel,
        shaft_speed_rpm=shaft_rpm,
        fault_orders=None if known is None else known.orders,
    )
    found = _of_bundle(target, healthy or [], given, description, public_key or [], out, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show_limits(found, out)


def _of_bundle(
    bundle: Path | None,
    healthy: list[Path],
    given: Given,
    description: Path | None,
    trusted: list[Path],
    out: Path,
    *,
    as_json: bool,
) -> dict[str, Any]:
    from dataclasses import replace

    from secateur.core.progress import quiet
    from secateur.edge.foundation import SHIPPED
    from secateur.edge.runtime import Runtime
    from secateur.workflow.commissioning import commission as learn
    from secateur.workflow.diagnosis_subjects import UNKNOWN, find_subjects

    with quiet() if as_json else nullcontext():
        runtime = Runtime(bundle or SHIPPED, trusted=trusted)
        given = replace(given, trained_on=runtime.manifest.channel or UNKNOWN)
        return learn(find_subjects(healthy, given, description=description), runtime, out)


def _show_limits(found: dict[str, Any], out: Path) -> None:
    from secateur.cli.console import Console

    limits, console = found["limits"], Console()
    sentences = [
        f"{row['recording']}: {counted(row['windows'], 'window')}, level {row['rms']:.4g}, "
        f"normal with {100 * row['mean_normal']:.0f} %" + (f"; {row['doubt']}" if row["doubt"] else "")
        for row in found["recordings"]
        if row["windows"]
    ]
    sentences.append(
        f"healthy: damage up to {100 * limits['most_damage']:.0f} %, levels of {limits['lowest_rms']:.4g} to "
        f"{limits['highest_rms']:.4g} {limits['unit'] or ''}".rstrip()
    )
    sentences.append(f"written: {out}; next: secateur diagnose FILE --own-healthy {out}")
    for sentence in sentences:
        console.print(sentence, soft_wrap=True, highlight=False, markup=False)


def _of_agent(
    config: Path,
    sensor: str,
    recording: Path | None,
    channel: str | None,
    shaft_rpm: float | None,
    *,
    forget: bool,
) -> dict[str, Any]:
    from secateur.core.errors import ConfigError
    from secateur.core.locks import sole_owner
    from secateur.core.progress import quiet
    from secateur.edge.agent.commissioning import learn_from, open_path

    of_recording = {"--channel": channel, "--shaft-rpm": shaft_rpm}
    unfit = [name for name, value in of_recording.items() if value is not None]
    if unfit and recording is None:
        raise ConfigError(
            f"{' and '.join(unfit)} {'go' if len(unfit) > 1 else 'goes'} with --recording; give --recording "
            f"FILE too, or leave {'them' if len(unfit) > 1 else 'it'} out."
        )
    if channel is not None and not channel.isdecimal():
        raise ConfigError(f"--channel is '{channel}'; for an agent give its number, from 0.")
    state_folder, path = open_path(config, sensor)
    counts = None
    if forget or recording is not None:
        with sole_owner(state_folder), quiet():
            if recording is None:
                path.baseline.forget()
            else:
                number = None if channel is None else int(channel)
                counts = learn_from(path, recording, channel=number, shaft_rpm=shaft_rpm, forget=forget)
    found = {"sensor": sensor, **path.baseline.summary()}
    if counts is not None:
        found |= {"bursts_used": counts.used, "bursts_passed_over": counts.passed_over}
    return found


def _show_baseline(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
        return
    if "bursts_used" in found:
        typer.echo(f"{found['bursts_used']} bursts used, {found['bursts_passed_over']} passed over")
    if found["trouble"]:
        typer.echo(f"{found['sensor']}: {found['trouble']}")
    elif not found["bands"]:
        typer.echo(f"{found['sensor']}: nothing learned yet; {found['bursts_needed']} bursts are needed")
    for name, band in found["bands"].items():
        state = "learned" if band["learned"] else f"{100 * band['progress']:.0f} % learned"
        typer.echo(f"{found['sensor']}, {name}: {state}")
        for indicator, median in band["medians"].items():
            typer.echo(f"  {indicator}: {median:.4g}")

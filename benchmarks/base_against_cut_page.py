"""The page of ``base_against_cut.py``: its figures as tables, and each target beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MIB = 2**20
CUTS = ("4 layers", "1 layer")


def page(result: Mapping[str, Any]) -> str:
    """Return the page as Markdown."""
    backbones, device = result["backbones"], result["device"]
    groups = {group["tokens"]: group for group in backbones["groups"]}
    lines = [
        "# The backbone of base-mha against its cuts",
        "",
        "Written by `benchmarks/base_against_cut.py`. Random weights; batch 1, one thread, models in turns.",
        "Other work on the machine does not count in processor time, but for the caches that it takes.",
        "Memory is resident memory of a fresh process. Wall times and starts are those of the machine as it",
        "was, with other work on it (its load stands below): an inference shorter than a slice of the",
        "scheduler may run undisturbed and a longer one is interrupted, so ratios of wall times can be far",
        "off either way.",
        "",
        *_table(
            ("model", "parameters of the whole model", "times fewer"),
            (
                (name, f"{count:,}", f"{result['parameters']['dense'] / count:.2f}")
                for name, count in result["parameters"].items()
            ),
        ),
        "",
    ]
    for tokens, group in groups.items():
        lines += [f"## {tokens} tokens", "", *_models(group), "", *_comparisons(group), ""]
    lines += ["## The whole process of a device", "", *_device(device), "", "## Targets", ""]
    lines += [*_table(("target", "cut", "asked", "measured", "met"), _targets(groups, device)), ""]
    lines += ["## Machine", "", *_machine(backbones), ""]
    return "\n".join(lines)


def _models(group: Mapping[str, Any]) -> list[str]:
    rows = []
    for model in group["models"]:
        memory, roofline = model["memory"], model["roofline"]
        phases = ("imported", "loaded", "steady", "peak")
        rows.append(
            (
                model["name"],
                f"{model['cpu_ms']['p50']:.2f}",
                *(f"{model['wall_ms'][rank]:.2f}" for rank in ("p50", "p90", "p99")),
                f"{min(model['cold_starts_s']):.2f}",
                *(f"{memory[phase] / MIB:.0f}" for phase in phases),
                f"{model['stored_bytes'] / 1e6:.1f}",
                f"{100 * roofline['share']:.0f} %" if roofline else "",
                f"{100 * roofline['longest_ms'] / roofline['measured_ms']:.0f} %" if roofline else "",
            )
        )
    headings = ("model", "CPU p50 ms", "wall p50", "p90", "p99", "cold start s", "imports MiB", "loaded")
    return _table((*headings, "steady", "peak", "file MB", "of the bound", "of its longer part"), rows)


def _comparisons(group: Mapping[str, Any]) -> list[str]:
    headings = ("from", "to", "CPU time", "wall time", "peak above imports", "peak", "file")
    return _table(
        headings,
        (
            (
                entry["base"],
                entry["model"],
                *(
                    f"{entry[clock]['value']:.1f}x ({entry[clock]['low']:.1f} to {entry[clock]['high']:.1f})"
                    for clock in ("cpu", "wall")
                ),
                *(f"{entry[what]:.1f}x" for what in ("above_import", "peak", "stored")),
            )
            for entry in group["comparisons"]
            if entry["model"] != "dense torch fp32"
        ),
    )


def _device(device: Mapping[str, Any]) -> list[str]:
    model = device["groups"][0]["models"][0]
    memory, diagnosis = model["memory"], model["diagnosis"]
    rows = (
        ("imports", f"{memory['imported'] / MIB:.0f} MiB"),
        ("bundle verified and loaded", f"{memory['loaded'] / MIB:.0f} MiB"),
        ("peak with resampling, windows and diagnoses", f"{diagnosis['peak'] / MIB:.0f} MiB"),
        ("one window, CPU p50", f"{model['cpu_ms']['p50']:.2f} ms"),
        ("one burst at twice the rate, CPU", f"{diagnosis['cpu_ms']:.2f} ms"),
        ("cold start", f"{min(model['cold_starts_s']):.2f} s"),
        ("files", f"{model['stored_bytes'] / 1e6:.2f} MB"),
    )
    return _table(("what", "measured"), rows)


def _targets(groups: Mapping[int, Any], device: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for cut in CUTS:
        for tokens, group in groups.items():
            from_onnx = _entry(group, "dense fp32", f"{cut} fp32")
            from_torch = _entry(group, "dense torch fp32", f"{cut} int8")
            for clock, called in (("cpu", "CPU time"), ("wall", "wall time")):
                saved = {name: 1 - 1 / from_onnx[clock][name] for name in ("value", "low", "high")}
                words = f"latency ({called}) saved, fp32, {tokens} tokens"
                yield _row(words, cut, 0.92, saved["value"], "{:.1%}", (saved["low"], saved["high"]))
            for what, words, least in (
                ("above_import", "peak memory above imports saved", 0.85),
                ("peak", "peak memory saved", 0.75),
            ):
                yield _row(f"{words}, fp32, {tokens} tokens", cut, least, 1 - 1 / from_onnx[what], "{:.1%}")
            least = 60.0 if tokens == 16 else 50.0
            words = f"CPU time, dense torch fp32 to int8, {tokens} tokens"
            interval = (from_torch["cpu"]["low"], from_torch["cpu"]["high"])
            yield _row(words, cut, least, from_torch["cpu"]["value"], "{:.1f}x", interval)
        model = next(entry for entry in groups[64]["models"] if entry["name"] == f"{cut} fp32")
        yield _row("share of the roofline, fp32, 64 tokens", cut, 0.7, model["roofline"]["share"], "{:.0%}")
    peak = device["groups"][0]["models"][0]["diagnosis"]["peak"] / MIB
    yield ("peak of the device's process", "small-mha", "< 120 MiB", f"{peak:.0f} MiB", _met(peak < 120))


def _row(
    what: str, cut: str, least: float, value: float, pattern: str, interval: tuple[float, float] | None = None
) -> tuple[str, ...]:
    shown = pattern.format(value)
    if interval is not None:
        shown += f" ({pattern.format(interval[0])} to {pattern.format(interval[1])})"
    return (what, cut, f">= {pattern.format(least)}", shown, _met(value >= least))


def _met(holds: bool) -> str:
    return "yes" if holds else "no"


def _entry(group: Mapping[str, Any], base: str, model: str) -> Mapping[str, Any]:
    return next(e for e in group["comparisons"] if (e["base"], e["model"]) == (base, model))


def _machine(backbones: Mapping[str, Any]) -> list[str]:
    rates, provenance = backbones["rates"], backbones["provenance"]
    versions = provenance["versions"]
    return [
        f"- {max(rates['bandwidths']) / 1e9:.0f} GB/s from caches, {rates['bandwidths'][-1] / 1e9:.0f} GB/s "
        f"from memory, {rates['float_rate'] / 1e9:.0f} GFLOP/s float32, "
        f"{rates['integer_rate'] / 1e9:.0f} Gop/s int8, one thread",
        f"- {provenance['machine']['cpu_count']} processors, {provenance['machine']['processor']}",
        f"- Python {versions['python']}, torch {versions['torch']}, ONNX Runtime {versions['onnxruntime']}",
        f"- {backbones['load_average'][0]:.1f} processes wanted to run before, "
        f"{backbones['load_average'][1]:.1f} after (load average)",
        "- The bound: bytes of the weights over the bandwidth at their size, plus operations over rate. "
        "Where reading and multiplying overlap a model can beat the sum, not its longer part.",
        *(f"- {note}" for note in backbones["notes"]),
    ]


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]

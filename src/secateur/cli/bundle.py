"""``secateur bundle``: pack, check, sign and look into what goes to the device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import options

if TYPE_CHECKING:
    from secateur.bundle.causal_manifest import CausalManifest
    from secateur.bundle.encoder_manifest import EncoderManifest
    from secateur.bundle.manifest import Manifest
    from secateur.bundle.verify import CheckedBundle

app = typer.Typer(help="Pack, check, sign and look into bundles.", no_args_is_help=True)

Bundle = Annotated[Path, typer.Argument(help="Bundle folder or .sct archive.", show_default=False)]
PublicKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key", help="PEM file of a key that may sign; the bundle must then be signed. Repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


@app.command("create")
def create_archive(
    bundle: Bundle,
    out: Annotated[
        Path, typer.Option(help="The .sct file to write, or a folder to unpack into.", show_default=False)
    ],
    overwrite: options.Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Pack a bundle folder into one .sct archive, or an archive into a folder."""
    from secateur.bundle.archive import pack, unpack
    from secateur.core.locks import sole_writer

    change = unpack if bundle.is_file() else pack
    with sole_writer(out):
        change(bundle, out, overwrite=overwrite)
    n_bytes = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
    typer.echo(json.dumps({"bundle": str(out), "bytes": n_bytes}) if as_json else f"{out}: {n_bytes:,} bytes")


@app.command("verify")
def verify(bundle: Bundle, public_key: PublicKeys = None, as_json: AsJson = False) -> None:
    """Check signature and checksums and compute the golden windows again on this machine."""
    from secateur.bundle.verify import verify_bundle

    found = verify_bundle(bundle, trusted=public_key or ())
    if as_json:
        told = {
            "bundle": str(bundle),
            "name": found.manifest.name,
            "signature": found.signature.state,
            "key_id": found.signature.key_id,
            "golden_max_abs_diff": found.golden_max_abs_diff,
        }
        typer.echo(json.dumps(told))
        return
    typer.echo(
        f"{bundle} is whole; {_signed(found.signature.state, found.signature.key_id)}; golden logits differ "
        f"by at most {found.golden_max_abs_diff:.1e} here"
    )


@app.command("sign")
def sign(
    bundle: Bundle,
    key: Annotated[Path, typer.Option(help="PEM file of the private key.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Sign a bundle in place with an Ed25519 key."""
    from secateur.bundle.archive import sign_bundle
    from secateur.bundle.verify import check_bundle

    sign_bundle(bundle, key)
    key_id = check_bundle(bundle).signature.key_id
    typer.echo(
        json.dumps({"bundle": str(bundle), "key_id": key_id}) if as_json else f"signed by key {key_id}"
    )


@app.command("key")
def make_key(
    out: Annotated[
        Path, typer.Option(help="PEM file for the private key; NAME.pub.pem goes beside.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key pair for signing."""
    from secateur.bundle.signature import create_key

    public = out.with_name(f"{out.stem}.pub.pem")
    key_id = create_key(out, public)
    if as_json:
        typer.echo(json.dumps({"private": str(out), "public": str(public), "key_id": key_id}))
    else:
        typer.echo(f"key {key_id}: keep {out} secret, give {public} to the devices")


@app.command("inspect")
def inspect(bundle: Bundle, as_json: AsJson = False) -> None:
    """Show what a bundle holds, after checking its files."""
    from secateur.bundle.verify import check_bundle

    checked = check_bundle(bundle)
    if as_json:
        signature = {"state": checked.signature.state, "key_id": checked.signature.key_id}
        typer.echo(json.dumps({**checked.manifest.model_dump(mode="json"), "signature": signature}))
    else:
        _show(checked)


def _show(checked: CheckedBundle) -> None:
    from rich.table import Table

    from secateur.cli.console import Console

    console, manifest = Console(), checked.manifest
    table = Table(title=str(checked.source.place), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _facts(checked).items():
        table.add_row(name, str(value))
    console.print(table)
    files = Table(title="files")
    for heading in ("file", "bytes", "SHA-256"):
        files.add_column(heading, justify="right" if heading == "bytes" else "left", overflow="fold")
    for name, record in manifest.files.items():
        files.add_row(name, f"{record.bytes:,}", record.sha256[:16])
    console.print(files)


def _facts(checked: CheckedBundle) -> dict[str, Any]:
    from secateur.bundle.causal_manifest import CausalManifest
    from secateur.bundle.encoder_manifest import EncoderManifest

    manifest = checked.manifest
    kinds = {CausalManifest: _text_facts, EncoderManifest: _encoder_facts}
    of_kind: Any = kinds.get(type(manifest), _window_facts)
    facts = {
        "model": f"{manifest.name} ({manifest.family}), {manifest.parameters:,} parameters",
        "runs on": f"{manifest.format}, {manifest.precision}",
        **of_kind(manifest),
        "layers": "; ".join(
            f"{layer.index}: {layer.heads} heads, {layer.groups} groups, {layer.channels} channels"
            for layer in manifest.layers
        ),
        "signature": _signed(checked.signature.state, checked.signature.key_id),
    }
    if manifest.quantisation is not None:
        facts["quantised"] = f"{manifest.quantisation.scheme}, by {manifest.quantisation.tool}"
    return facts


def _text_facts(manifest: CausalManifest) -> dict[str, str]:
    parity, limit = manifest.parity, manifest.context_length
    positions = "no limit of positions" if limit is None else f"{limit:,} positions"
    facts = {
        "text": f"{manifest.vocabulary:,} tokens; {positions}",
        "tokenizer": ", ".join(manifest.tokenizer_files) or "not in the bundle",
        "parity": f"{parity.max_abs_diff:.1e} on {parity.tokens} predictions (allowed "
        f"{parity.tolerance:.0e}); {parity.agreement:.1%} agree; {parity.greedy_tokens} of "
        f"{parity.greedy_of} greedy tokens",
    }
    if (metrics := manifest.metrics) is not None:
        facts["perplexity"] = (
            f"{metrics.perplexity:.3f} ({metrics.checkpoint_perplexity:.3f} of the checkpoint) on "
            f"{metrics.predicted_tokens:,} tokens"
        )
    return facts


def _encoder_facts(manifest: EncoderManifest) -> dict[str, str]:
    parity = manifest.parity
    return {
        "text": f"{manifest.vocabulary:,} tokens; {manifest.longest_tokens:,} of a text",
        "gives": manifest.gives_in_words,
        "parity": f"{parity.max_abs_diff:.1e} on {parity.texts} texts (allowed {parity.tolerance:.0e})",
    }


def _window_facts(manifest: Manifest) -> dict[str, str]:
    window_s = manifest.window_length / manifest.sampling_rate_hz
    rule = manifest.resampling
    facts = {
        "window": f"{manifest.window_length} samples at {manifest.sampling_rate_hz:g} Hz ({window_s:.3f} s)",
        "other rates": f"from {rule.lowest_hz:g} Hz, resampled" if rule and rule.allowed else "refused",
        "classes": ", ".join(manifest.labels),
        "parity": f"{manifest.parity.max_abs_diff:.1e} on {manifest.parity.windows} windows "
        f"(allowed {manifest.parity.tolerance:.0e})",
    }
    if (channel := manifest.channel) is not None and (channel.name or channel.unit):
        facts["trained on"] = (
            f"channel {channel.name or 'of several names'}, {channel.unit or 'unit unknown'}"
        )
    if manifest.metrics is not None:
        figures = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}"
            for name, value in manifest.metrics.values.items()
            if value is not None
        )
        leaks = "leaks" if manifest.metrics.leaks else "does not leak"
        where = f"{manifest.metrics.protocol} ({leaks}; of the {manifest.metrics.measured_on})"
        facts["figures"] = f"{figures} on {where}"
    if (verdict := manifest.verdict) is not None:
        unfit = "" if verdict.fit_for_use else "not "
        facts["verdict"] = "; ".join((f"{unfit}fit for use", *verdict.reasons, *verdict.cautions))
    return facts


def _signed(state: str, key_id: str | None) -> str:
    if key_id is None:
        return "not signed"
    return f"signed by key {key_id} ({'trusted' if state == 'trusted' else 'trust not checked'})"

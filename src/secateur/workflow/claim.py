"""A folder for results that go on where a stopped command ended: its settings stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.files import remove_folder
from secateur.core.provenance import provenance
from secateur.core.records import read_json, write_json

RUN = "run.json"
LONGEST_VALUE = 80
"""Characters of a setting in a message."""


def claim(
    out: Path,
    settings: dict[str, Any],
    *,
    seed: int,
    data_sha256: Sequence[str | None] = (),
    overwrite: bool = False,
) -> None:
    """Write the settings into ``out``, or check that they are those of the run in it.

    Parameters
    ----------
    out : Path
        New, empty, or the folder of a run with the same settings.
    settings : dict
        JSON values that decide the outcome.
    seed : int
        For the provenance.
    data_sha256 : sequence of str
        Digests of the data that the run goes by, and of a model that it is given; names of files stay the
        same where their content changes.
    overwrite : bool, default False
        Whether a run with other settings or data is removed first.

    Raises
    ------
    ConfigError
        If ``out`` holds something else, or a run with other settings, which the message names, on other data,
        or of another version, and ``overwrite`` is not given.
    """
    mine = {"settings": settings, "data_sha256": list(data_sha256)}
    # run folders of earlier versions tell no digests
    record = {**mine, **read_json(out / RUN, ("settings",))} if (out / RUN).exists() else mine
    if overwrite and not mine.items() <= record.items():
        remove_folder(out)
    if not (out / RUN).exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out} exists and is no run folder; choose a new or empty folder for --out.")
        write_json(out / RUN, {**mine, **provenance(seed=seed)})
        return
    theirs = record["settings"]
    require_same_version(theirs, settings, out)
    if theirs != settings:
        differing = ", ".join(differences(theirs, settings))
        raise ConfigError(
            f"{out} holds a run with other settings ({differing}); repeat its command, choose another --out, "
            "or add --overwrite."
        )
    if record["data_sha256"] != mine["data_sha256"]:
        raise ConfigError(
            f"{out} holds a run on other data, or of another model: what the files hold has changed since it "
            "began; bring them back, choose another --out, or add --overwrite."
        )


def require_same_version(theirs: Any, mine: Any, where: Path) -> None:
    """Refuse work that was begun with settings of other names than this version writes for such a run.

    Raises
    ------
    ConfigError
        Saying what can be done.
    """
    if not isinstance(theirs, dict) or theirs.keys() != mine.keys():
        return
    if any(_named_otherwise(theirs[name], mine[name]) for name in mine):
        raise ConfigError(
            f"{where} was begun by another version of secateur, which names its settings otherwise; finish "
            "it with that version, choose another --out, or begin anew: --overwrite, or remove the folder."
        )


def _named_otherwise(theirs: Any, mine: Any) -> bool:
    """Whether parts that both have are made of other fields; a part that is left out tells nothing."""
    if not isinstance(theirs, dict) or not isinstance(mine, dict):
        return False
    return theirs.keys() != mine.keys() or any(_named_otherwise(theirs[name], mine[name]) for name in mine)


def differences(theirs: Any, mine: Any, name: str = "") -> list[str]:
    """Name every value in which two trees of settings differ."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return [
            difference
            for key in sorted({*theirs, *mine})
            for difference in differences(theirs.get(key), mine.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if theirs == mine else [f"{name}: {_short(theirs)} there, {_short(mine)} asked for"]


def _short(value: Any) -> str:
    told = str(value)
    return told if len(told) <= LONGEST_VALUE else f"{told[:LONGEST_VALUE]}..."

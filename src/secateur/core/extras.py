"""Packages that are not always installed: a missing one is told with the command that installs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from secateur.core.errors import MissingPackage

_PACKAGE_OF = {
    "google": "protobuf",
    "paho": "paho-mqtt",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Packages that are not called as what is imported from them."""

_USUAL = ("edge", "train")
"""Extras to name where several install a package."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Tell how to install what an import inside the block does not find; also a decorator.

    Parameters
    ----------
    what : str
        Who needs it, as the beginning of a sentence: "loading a checkpoint".

    Raises
    ------
    MissingPackage
        In place of the import error, for every package that secateur or one of its extras installs.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = str(error.name).partition(".")[0]
        command = how_to_install(name)
        if isinstance(error, MissingPackage) or command is None:
            raise
        raise MissingPackage(
            f"{what} needs the package '{name}', which is not installed; run: {command}", name=name
        ) from None


def require_packages(what: str, *names: str) -> None:
    """Check that packages are installed, without importing them.

    Raises
    ------
    MissingPackage
        Naming the first that is not.
    """
    with explained(what):
        for name in names:
            if find_spec(name) is None:
                raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def how_to_install(module: str) -> str | None:
    """Return the command that installs a module; None if neither secateur nor an extra of it does.

    The extras are read from the metadata of the installed package, so that they stand in one place.
    """
    from importlib import metadata  # late, so that help comes at once

    wanted = _PACKAGE_OF.get(module, module).lower().replace("_", "-")
    try:
        requirements = metadata.requires("secateur") or []
    except metadata.PackageNotFoundError:  # run from its sources
        return None
    extras = set()
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is not None and name[0].lower().replace("_", "-") == wanted:
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
            if extra is None:
                return "pip install secateur"
            extras.add(extra[1])
    chosen = [extra for extra in (*_USUAL, *sorted(extras - {"dev"})) if extra in extras]
    return f"pip install 'secateur[{chosen[0]}]'" if chosen else None

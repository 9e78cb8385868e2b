"""Names of the split protocols and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.core.errors import ConfigError

PROTOCOLS: dict[str, str] = {
    "random_window": "pieces of every recording on all sides; leaks, measures nothing",
    "load": "lower loads for training, higher loads for test; the same specimens, leaks",
    "fault_size": "one defect size held out, 'fault_size:14'; 'fault_size:all' makes one split of each size",
    "speed": "every second speed held out, or the one given, 'speed:1000'",
    "cross_dataset": "one data set held out: the second one, or the one named, 'cross_dataset:uestc'",
    "few_labels": "'few_labels:5' keeps 5 % of the training labels of the load task, "
    "'few_labels:5,fault_size:14' of another",
    "specimen": "whole specimens held out, some of each class",
}
_WITH_ARGUMENT = ("fault_size", "speed", "cross_dataset", "few_labels")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A split protocol as asked for.

    Parameters
    ----------
    name : str
        One of :data:`PROTOCOLS`.
    argument : str or None
        What stands behind the colon.
    test_snr_db : float or None
        Signal-to-noise ratio behind the "@": noise is added to the test windows at it.
    """

    name: str
    argument: str | None = None
    test_snr_db: float | None = None

    def __str__(self) -> str:
        argument = "" if self.argument is None else f":{self.argument}"
        snr = "" if self.test_snr_db is None else f"@{self.test_snr_db:g}"
        return f"{self.name}{argument}{snr}"


def parse_protocol(text: str) -> Protocol:
    """Read ``name``, ``name:argument``, ``name@snr`` or ``name:argument@snr``, such as ``load@-6``.

    Raises
    ------
    ConfigError
        If the name is unknown, an argument is missing or out of place, or the ratio is not a number.
    """
    body, at, snr_text = text.strip().partition("@")
    name, colon, argument = body.partition(":")
    if name not in PROTOCOLS:
        raise ConfigError(
            f"unknown split protocol '{text}'; allowed: {', '.join(PROTOCOLS)}, with an argument behind a "
            "colon where there is one (fault_size:14) and a signal-to-noise ratio in dB behind an @: load@-6."
        )
    if bool(colon) != bool(argument) or (argument and name not in _WITH_ARGUMENT):
        fault = "needs something behind the colon" if colon and not argument else "takes no argument"
        raise ConfigError(f"split protocol '{text}': '{name}' {fault}; {name}: {PROTOCOLS[name]}.")
    snr_db = None
    if at:
        try:
            snr_db = float(snr_text)
        except ValueError:
            raise ConfigError(
                f"split protocol '{text}': '{snr_text}' is not a signal-to-noise ratio in dB; write load@-6."
            ) from None
    if name == "few_labels":
        _percentage(argument)
    return Protocol(name=name, argument=argument or None, test_snr_db=snr_db)


def few_labels_argument(argument: str) -> tuple[float, str]:
    """Return the percentage and the protocol that the labels are taken from (``load`` unless given)."""
    share, _, base = argument.partition(",")
    return _percentage(share), base or "load"


def _percentage(argument: str) -> float:
    share = argument.partition(",")[0]
    try:
        percent = float(share)
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise ConfigError(
            f"split protocol 'few_labels': '{share}' is no percentage above 0, up to 100; write few_labels:5."
        )
    return percent

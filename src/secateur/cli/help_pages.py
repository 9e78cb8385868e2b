"""Commands: help that reads well in 80 columns, options by group, and messages in words of the options."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from secateur.cli.option_names import as_on_the_command_line
from secateur.core.errors import SecateurError

GROUPS: dict[str, tuple[str, ...]] = {
    "Data": (
        "data", "calibration", "task", "split", "channel", "window_length", "text", "description", "snr",
        "bundle", "vocabulary", "general_share", "general_text",
    ),
    "Bearing and speed": (
        "bearing", "balls", "ball_mm", "pitch_mm", "angle", "orders", "shaft_rpm", "sampling_rate",
    ),
    "Size to reach": (
        "ratio", "block_fraction", "latency_ms", "latency_table", "memory_mib", "precision", "runtime_mib",
        "min_accuracy", "max_perplexity_ratio",
    ),
    "How it is cut": (
        "method", "criterion", "units", "uniform", "layers", "heads", "channels", "multiple", "rounds",
        "calibration_blocks", "measure_sia", "max_memory", "probe_steps", "max_depths",
    ),
    "Training and recovery": (
        "backbone", "train_steps", "recovery_steps", "recovery_minutes", "recovery_adapter",
        "recovery_control", "unlabelled_share", "batch_size", "seed", "rivals", "device", "track",
    ),
    "Result": ("out", "overwrite", "settings_file", "as_json", "help"),
}  # fmt: skip
"""Group of each option by its parameter; others stand under "Options"."""

_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
_OTHER = "Options"
ORDER = ("Arguments", "Data", _OTHER, *(group for group in GROUPS if group != "Data"))


class GroupedCommand(TyperCommand):
    """A command whose help lists its options by group, and which is listed with its whole first sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors name its options as they are spelled."""
        try:
            return super().invoke(ctx)
        except SecateurError as error:
            error.args = (as_on_the_command_line(str(error), self.params),)
            raise

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence; the list of commands wraps it."""
        return super().get_short_help_str(limit=max(limit, 400))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a section a group."""
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in ORDER}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                group = "Arguments" if is_argument else _GROUP_OF.get(str(parameter.name), _OTHER)
                name, words = record
                sections[group].append((name.replace(" range>", ">"), words))
        for group, records in sections.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)

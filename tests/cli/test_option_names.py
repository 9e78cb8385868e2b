"""Options in messages go by their spelling on the command line."""

from types import SimpleNamespace

import pytest

from secateur.cli.option_names import as_on_the_command_line

PARAMETERS = [
    SimpleNamespace(name="min_accuracy", opts=["--min-accuracy"]),
    SimpleNamespace(name="as_json", opts=["--json"]),
    SimpleNamespace(name="ratio", opts=["--ratio"]),
    SimpleNamespace(name="model_folder", opts=["model_folder"]),  # an argument
]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("min_accuracy is 5; it must lie in 0..1.", "--min-accuracy is 5; it must lie in 0..1."),
        ("leave out as_json, or min_accuracy.", "leave out --json, or --min-accuracy."),
        ("ratio and model_folder stay", "ratio and model_folder stay"),
        ("runs/min_accuracy/a.wav", "runs/min_accuracy/a.wav"),
        ("min_accuracy.wav and 'min_accuracy'", "min_accuracy.wav and 'min_accuracy'"),
        ("min_accuracy_found is another name", "min_accuracy_found is another name"),
        ("--min-accuracy stays", "--min-accuracy stays"),
    ],
)
def test_only_names_of_options_are_spelled_anew(message, expected):
    assert as_on_the_command_line(message, PARAMETERS) == expected

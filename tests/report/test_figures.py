import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.report.figures.axes import Axes, decade_ticks, nice_ticks
from secateur.report.figures.confusion import confusion_rows
from secateur.report.figures.example import envelope_picture, waveform_picture
from secateur.report.figures.layers import layer_rows
from secateur.report.figures.path import size_path
from secateur.report.figures.snr import snr_curve


def _circles(svg):
    found = re.findall(r'<circle class="dot (\w+)" cx="([\d.]+)" cy="([\d.]+)"', svg)
    return [(style, float(x), float(y)) for style, x, y in found]


def test_axes_place_limits_at_the_edges_also_backwards_and_logarithmic():
    axes = Axes(x_limits=(100.0, 1.0), y_limits=(0.0, 1.0), title="t", log_x=True)
    assert axes.x(10.0) == pytest.approx((axes.x(100.0) + axes.x(1.0)) / 2)
    assert axes.x(100.0) < axes.x(1.0)
    assert axes.y(0.0) > axes.y(1.0)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_ticks_are_round_inside_and_few(low, span):
    ticks = nice_ticks(low, low + span)
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)
    assert 2 <= len(ticks) <= 7


def test_known_ticks():
    assert nice_ticks(0.0, 1.0, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert decade_ticks(600e3, 12e6) == [1e6, 2e6, 5e6, 10e6]


def test_path_marks_cut_below_recovery_and_runs_to_the_right(records):
    svg = size_path(records)
    dots = _circles(svg)
    hollow = [dot for dot in dots if dot[0] == "hollow"]
    solid = [dot for dot in dots if dot[0] == "pruned"]
    assert len(hollow) == len(solid) == 3
    for cut, recovered in zip(hollow, solid, strict=True):
        assert cut[1] == recovered[1]
        assert cut[2] > recovered[2]
    assert [dot[1] for dot in solid] == sorted(dot[1] for dot in solid)
    assert "channels, recovered: 685 k parameters, 97.7 %" in svg
    assert size_path([]) is None


@pytest.mark.parametrize(("always", "high"), [(1.0, True), (0.0, False)])
def test_a_path_on_which_nothing_is_lost_or_all_is_can_be_read(records, always, high):
    point = {"parameters": 100_000, "accuracy": always, "macro_f1": always}
    names = ("before", "after_cut", "after_recovery")
    svg = size_path([{**record, **{name: {**record[name], **point} for name in names}} for record in records])
    assert {dot[2] < 90 for dot in _circles(svg)} == {high}


def test_snr_curve_sorts_levels_and_draws_what_is_there():
    svg = snr_curve(
        {"dense": [{"snr_db": 6, "accuracy": 0.9}, {"snr_db": -6, "accuracy": 0.5}], "pruned": []}
    )
    dots = _circles(svg)
    assert [style for style, *_ in dots] == ["dense", "dense"]
    assert dots[0][1] < dots[1][1]
    assert dots[0][2] > dots[1][2]
    assert "dense at −6 dB: 50.0 %" in svg
    assert snr_curve({"dense": (), "pruned": ()}) is None
    assert snr_curve({"pruned": [{"snr_db": 0, "accuracy": 1.0}]})


def test_layer_rows_tell_what_stays(plan):
    rows = layer_rows(plan)
    assert [row.index for row in rows if row.removed] == [1, 3, 4, 6, 7]
    assert rows[0].groups == (True, False, True, True, False, False, False, False)
    assert rows[11].channel_share == 352 / 1024
    assert rows[1].channel_share == 0
    assert (rows[11].kept_groups, rows[11].kept_channels, rows[11].n_channels) == (4, 352, 1024)


def test_confusion_shares_are_of_the_true_class():
    rows = confusion_rows([[3, 1], [0, 0]], ["normal", "inner_race"])
    assert [cell.share for cell in rows[0].cells] == [0.75, 0.25]
    assert [cell.right for cell in rows[0].cells] == [True, False]
    assert [cell.share for cell in rows[1].cells] == [0.0, 0.0]
    assert rows[1].name == "inner race"


def _vertical_places(svg, word):
    return [float(x) for x in re.findall(rf'<path class="line fault {word}" d="M([\d.]+) ', svg)]


def test_fault_lines_stand_on_the_peaks_of_the_spectrum(examples):
    svg = envelope_picture(examples["waveform"][1], 12000.0, 29.5, examples["fault_orders"][1], "inner_race")
    spectrum = re.search(r'<path class="line spectrum" d="M([^"]+)"', svg).group(1)
    points = np.array([[float(n) for n in point.split()] for point in spectrum.split("L")])
    peak_x = points[points[:, 1].argmin(), 0]
    assert min(abs(place - peak_x) for place in _vertical_places(svg, "inner")) < 1.5
    assert min(abs(place - peak_x) for place in _vertical_places(svg, "outer")) > 5
    assert "BPFI" in svg
    assert ">BPFO<" not in svg


def test_unknown_speed_draws_no_lines(examples):
    svg = envelope_picture(examples["waveform"][1], 12000.0, 0.0, examples["fault_orders"][1], "inner_race")
    assert "fault" not in svg


def test_waveform_shows_its_extremes():
    waveform = np.zeros(4096, dtype=np.float32)
    waveform[1000], waveform[1500] = 5.0, -3.0
    svg = waveform_picture(waveform, 12000.0, "normal")
    columns = re.search(r'<path d="[^"]*" class="wave"|<path class="wave" d="([^"]+)"', svg).group(1)
    spans = np.array([[float(n) for n in re.split("[ V]", span)] for span in columns.split("M")[1:]])
    heights = spans[:, 2] - spans[:, 1]
    assert (heights > 10).sum() == 2
    flat = waveform_picture(np.zeros(100, dtype=np.float32), 100.0, "normal")
    assert "nan" not in flat

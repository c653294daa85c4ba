"""Pictures: round ticks, true positions, gaps, and marks that are told apart in grey."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsrf_jax.reporting import svg

X, Y = svg.Axis(0, 1, "rate"), svg.Axis(0, 100, "percent & more")


def parsed(text):
    return ElementTree.fromstring(text)


def paths(text, kind):
    return [
        path.get("d") for path in parsed(text).iter("path") if kind in path.get("class").split()
    ]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


@given(st.floats(-100, 100), st.floats(-12, 6))
def test_ticks_are_round_inside_and_few(place, power):
    width = 10.0**power
    low, high = place * width, (place + 1) * width
    found = svg.ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-6 * width <= tick <= high + 1e-6 * width for tick in found)
    step = found[1] - found[0]
    np.testing.assert_allclose(np.diff(found), step, rtol=1e-6)
    assert round(step / 10.0 ** np.floor(np.log10(step * 1.0001)), 4) in (1, 2, 5)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (41, 83, [50, 60, 70, 80]),
        (-3.2, 3.2, [-2, 0, 2]),
        (0.0311, 0.0412, [0.032, 0.034, 0.036, 0.038, 0.04]),
    ],
)
def test_ticks_of_known_ranges(low, high, expected):
    assert svg.ticks(low, high) == expected


def test_an_axis_is_never_empty():
    for values in ([], [0.0], [5.0, 5.0], [float("nan")]):
        axis = svg.axis_over(values, "")
        assert axis.low < axis.high
    axis = svg.axis_over(np.array([1.0, 3.0]), "", margin=0.5)
    assert (axis.low, axis.high) == (0.0, 4.0)


def test_points_stand_where_they_belong():
    line = svg.Line("a", [0, 0.5, 1], [0, 50, 100], 0)
    (path,) = paths(svg.line_chart([line], X, Y, "alt"), "line")
    left, right = svg.LEFT, svg.WIDTH - svg.RIGHT
    bottom, top = svg.HEIGHT - svg.BOTTOM, svg.TOP
    assert numbers(path) == [
        *(left, bottom, (left + right) / 2, (bottom + top) / 2, right, top),
    ]


def test_a_figure_that_is_undefined_leaves_a_gap():
    line = svg.Line("a", [0, 0.3, 0.6, 0.8, 1], [1, 2, None, 3, 4], 1, [0] * 5, [None] * 5)
    text = svg.line_chart([line], X, Y, "alt")
    (path,) = paths(text, "line")
    assert re.sub(r"[^ML]", "", path) == "MLML"
    assert paths(text, "band") == []  # no edge is known twice


def test_a_band_goes_there_and_back():
    line = svg.Line("a", [0, 1], [50, 50], 0, [40, 45], [60, 55])
    (path,) = paths(svg.line_chart([line], X, Y, "alt"), "band")
    height = svg.HEIGHT - svg.TOP - svg.BOTTOM
    expected = [svg.HEIGHT - svg.BOTTOM - v / 100 * height for v in (40, 45, 55, 60)]
    assert numbers(path)[1::2] == pytest.approx(expected, abs=0.06)


def test_styles_differ_without_colour():
    lines = [svg.Line("", [0.5], [50], style) for style in range(svg.STYLES)]
    drawn = [re.sub(r"s\d", "", svg.line_sample(line)) for line in lines]
    assert len(set(drawn)) == svg.STYLES
    assert len({re.sub(r"s\d", "", svg.cloud_sample(s)) for s in range(svg.STYLES)}) == svg.STYLES
    assert len(set(svg.DASHES)) == svg.STYLES
    # They repeat after the last one.
    assert svg.cloud_sample(svg.STYLES) == svg.cloud_sample(0)


@pytest.mark.parametrize("style", range(svg.STYLES))
def test_every_marker_is_around_its_point(style):
    cloud = svg.Cloud(np.array([0.5]), np.array([50.0]), style)
    text = svg.scatter_chart([cloud], X, Y, "alt", equal=False)
    (path,) = paths(text, "faint")
    x, y = numbers(path)[:2]
    assert abs(x - (svg.LEFT + svg.WIDTH - svg.RIGHT) / 2) <= 4
    assert abs(y - (svg.HEIGHT - svg.BOTTOM + svg.TOP) / 2) <= 4


def test_bars_begin_at_nothing():
    text = svg.bar_chart([0, 0.5, 1], [100, 25], X, Y, "alt")
    (path,) = paths(text, "bar")
    bottom, top = svg.HEIGHT - svg.BOTTOM, svg.TOP
    heights = [float(v) for v in re.findall(r"V([\d.]+)", path)]
    assert heights == pytest.approx([top, bottom, bottom - 0.25 * (bottom - top), bottom], abs=0.06)


def test_a_picture_says_what_it_shows():
    picture = parsed(svg.line_chart([], X, Y, 'rises & "falls" <slowly>'))
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == 'rises & "falls" <slowly>'
    assert "percent & more" in [text.text for text in picture.iter("text")]


def test_the_equal_line_joins_equal_numbers():
    axis = svg.Axis(-2, 2, "")
    text = svg.scatter_chart([], axis, svg.Axis(-1, 3, ""), "alt", equal=True)
    path = next(p.get("d") for p in parsed(text).iter("path") if p.get("stroke-dasharray"))
    x0, y0, x1, y1 = numbers(path)
    width = (svg.WIDTH - svg.LEFT - svg.RIGHT) / 4
    assert (x0 - svg.LEFT) / width == pytest.approx(1, abs=0.01)  # -1 on both axes
    assert y0 == svg.HEIGHT - svg.BOTTOM
    assert x1 == svg.WIDTH - svg.RIGHT
    height = (svg.HEIGHT - svg.TOP - svg.BOTTOM) / 4
    assert (y1 - svg.TOP) / height == pytest.approx(1, abs=0.01)  # 2 on both

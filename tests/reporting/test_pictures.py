"""Charts: true positions, gaps, marks that are told apart in grey; matplotlib left as it was."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fsrf_jax.reporting.colours import COLOURS
from fsrf_jax.reporting.pictures import (
    DASHES,
    MARKERS,
    STYLES,
    Line,
    difference_chart,
    heat_map,
    histogram,
    line_chart,
    panel,
    png,
    sample,
    scatter_chart,
)


def axes_with(chart, *shown, **named):
    axes = Figure().subplots()
    chart(axes, *shown, **named)
    return axes


def drawn(axes):
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines]


def grey(svg):
    for number in range(STYLES):
        svg = svg.replace(f"var(--c{number})", "grey")
    return svg


def test_lines_and_bands_are_the_figures():
    line = Line("a", [0, 0.5, 1], [50, 40, 60], 2, [45, 30, 55], [55, 45, 80])
    axes = axes_with(line_chart, [line, Line("b", [0, 1], [9, 9], 5, marks=())])
    assert drawn(axes) == [([0, 0.5, 1], [50, 40, 60]), ([0, 1], [9, 9])]
    assert [found.get_label() for found in axes.lines] == ["a", "b"]
    (band,) = axes.collections
    edge = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert edge == {(0, 45), (0.5, 30), (1, 55), (0, 55), (0.5, 45), (1, 80)}
    assert to_hex(band.get_facecolor()) == to_hex(axes.lines[0].get_color()) == COLOURS["c2"]
    assert axes.lines[1].get_marker() == ""


def test_places_that_are_no_numbers_are_not_joined():
    line = Line("a", [0, 1], [50, 40], 0, [45, 30], [55, 45])
    axes = axes_with(line_chart, [line, Line("b", [0, 1], [9, 9], 5, marks=())], joined=False)
    assert axes.lines[0].get_linestyle() == "None"
    assert axes.lines[1].get_linestyle() != "None"
    (bars,) = axes.collections
    assert [bar.tolist() for bar in bars.get_segments()] == [[[0, 45], [0, 55]], [[1, 30], [1, 45]]]


def test_whole_positions_have_whole_ticks():
    axes = axes_with(line_chart, [Line("a", [1, 2, 3], [1, 2, 3], 0)])
    assert all(tick == round(tick) for tick in axes.get_xticks())
    axes = axes_with(line_chart, [Line("a", [0, 0.1, 1], [1, 2, 3], 0)])
    assert 0.2 in axes.get_xticks()


def test_styles_differ_without_colour():
    assert len({grey(sample(style)) for style in range(STYLES)}) == STYLES
    assert len({grey(sample(style, line=False)) for style in range(STYLES)}) == STYLES
    assert len({grey(sample(style, mark=False)) for style in range(STYLES)}) == STYLES
    assert len(set(DASHES)) == len(set(MARKERS.values())) == STYLES
    # They repeat after the last one.
    assert sample(STYLES) == sample(0) != sample(1)


def test_samples_say_what_they_are():
    names = {}
    for line, mark in ((True, True), (True, False), (False, True)):
        names[line, mark] = ElementTree.fromstring(sample(1, line=line, mark=mark))
    alts = [picture.get("aria-label") for picture in names.values()]
    assert alts == ["line with squares", "line", "square"]
    assert [len(list(picture.iter("use"))) for picture in names.values()] == [1, 0, 1]
    assert all(picture.get("viewBox") == "0 0 42 14" for picture in names.values())


def test_points_of_a_scatter_are_the_figures():
    points = {0: np.array([[0.0, 1.0], [2.0, 3.0]]), 3: np.empty((0, 2)), 4: np.array([[5.0, 6.0]])}
    axes = axes_with(scatter_chart, points)
    assert drawn(axes) == [([0, 2], [1, 3]), ([], []), ([5], [6])]
    assert [line.get_color() for line in axes.lines] == [COLOURS[f"c{style}"] for style in points]


def test_the_corners_are_held_and_the_equal_line_joins_equal_numbers():
    within = np.array([[-2.0, -1.0], [2.0, 3.0]])
    axes = axes_with(scatter_chart, {0: np.zeros((1, 2))}, within=within)
    assert axes.get_xlim()[0] <= -2 <= 2 <= axes.get_xlim()[1]
    assert axes.get_ylim()[0] <= -1 <= 3 <= axes.get_ylim()[1]
    equal = axes.lines[-1]
    ends = axes.transData.inverted().transform(equal.get_transform().transform([[0, 0], [1, 1]]))
    np.testing.assert_allclose(ends[:, 0], ends[:, 1], atol=1e-9)
    lows, highs = zip(axes.get_xlim(), axes.get_ylim(), strict=True)
    np.testing.assert_allclose(ends[:, 0], [max(lows), min(highs)])


def test_a_histogram_begins_at_nothing():
    axes = axes_with(histogram, np.array([0, 0.5, 2]), np.array([100.0, 25.0]))
    (steps,) = axes.patches
    assert steps.get_data().values.tolist() == [100, 25]
    assert steps.get_data().edges.tolist() == [0, 0.5, 2]
    assert axes.get_ylim()[0] == steps.get_data().baseline == 0


def test_cells_of_a_heat_map():
    axes = axes_with(heat_map, ["a", "long name"], ["x", "y"], [[0.2, 0.9], [None, -0.5]])
    assert [text.get_text() for text in axes.texts] == ["0.20", "0.90", "-", "-0.50"]
    assert [text.get_color() for text in axes.texts] == ["black", "white", "black", "black"]
    (image,) = axes.images
    assert image.get_array().tolist() == [[0.2, 0.9], [0, -0.5]]
    assert image.get_clim() == (0, 1)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "long name"]


def test_differences_stand_in_their_rows():
    cells = {
        "certain": {"difference": 0.02, "low": 0.01, "high": 0.03, "p": 0.04},
        "not": {"difference": -0.01, "low": -0.02, "high": 0.01, "p": 0.05},
        "one seed": {"difference": 0.5, "low": None, "high": None, "p": None},
        "undefined": {},
    }
    axes = axes_with(difference_chart, cells)
    *found, zero = axes.lines
    assert [line.get_ydata().tolist() for line in found] == [[0, 0], [0], [1, 1], [1], [2]]
    np.testing.assert_allclose(found[0].get_xdata(), [1, 3])
    np.testing.assert_allclose([line.get_xdata()[0] for line in found[1::2]], [2, -1])
    assert zero.get_xdata() == [0, 0]
    faces = [line.get_markerfacecolor() for line in found if line.get_marker() == "o"]
    assert faces == [COLOURS["c0"], COLOURS["ground"], COLOURS["ground"]]
    low, high = axes.get_ylim()
    assert low > high  # the first row is the uppermost
    assert [text.get_text() for text in axes.get_yticklabels()] == list(cells)


def picture(number=0):
    points = np.random.default_rng(number).normal(size=(20, 2))
    return panel("t", "alt", ("x", "y"), scatter_chart, {number % STYLES: points}).svg


def test_equal_figures_are_equal_bytes(tmp_path):
    assert picture(3) == picture(3) != picture(4)
    for name in "ab":
        with png(tmp_path / name, 300, 200) as figure:
            histogram(figure.subplots(), np.arange(4), np.arange(3))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert matplotlib.image.imread(tmp_path / "a", format="png").shape[:2] == (333, 500)


def test_the_reader_s_settings_neither_change_a_picture_nor_are_changed():
    expected = picture(1)
    with matplotlib.rc_context({"svg.fonttype": "path", "grid.linewidth": 3}):
        before = dict(matplotlib.rcParams)
        assert picture(1) == expected
        assert dict(matplotlib.rcParams) == before


def test_a_chart_that_fails_changes_no_settings_either(tmp_path):
    before = dict(matplotlib.rcParams)
    with pytest.raises(ValueError), png(tmp_path / "a.png", 10, 10):  # noqa: PT011
        raise ValueError
    assert dict(matplotlib.rcParams) == before
    assert list(tmp_path.iterdir()) == []
    assert picture(1)


def test_threads_draw_as_one():
    before = dict(matplotlib.rcParams)
    expected = [picture(number) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(picture, range(8))) == expected
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_not_imported_before_it_is_needed():
    modules = ("cli.report", "cli.ablate", "experiments.outputs")
    imports = "; ".join(f"import fsrf_jax.{module}" for module in modules)
    program = f"import sys; {imports}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_backend_that_there_is_not_does_not_matter(tmp_path):
    """In a process of its own: matplotlib looks at it when it is imported."""
    code = (
        "import os, sys, pathlib; from fsrf_jax.reporting.pictures import png\n"
        "with png(pathlib.Path(sys.argv[1]), 72, 72): pass\n"
        "import matplotlib; print(matplotlib.get_backend(), os.environ['MPLBACKEND'])"
    )
    path = tmp_path / "x.png"
    found = subprocess.run(
        [sys.executable, "-c", code, path],
        env={**os.environ, "MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout.strip(), found.returncode) == ("agg nonsense", 0), found.stderr
    assert path.read_bytes().startswith(b"\x89PNG")

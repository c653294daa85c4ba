"""Pictures inside a page: in its colours, without what would reach beyond them."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsrf_jax.reporting.colours import COLOURS
from fsrf_jax.reporting.document import Document
from fsrf_jax.reporting.html import to_html
from fsrf_jax.reporting.pictures import STYLES, Line, histogram, line_chart, panel, scatter_chart
from fsrf_jax.reporting.svg import inline_svg, number_markers

NAN = float("nan")
LABELS = ("rate", "percent & more")


def parsed(svg):
    return ElementTree.fromstring(svg)


def chart(*lines, alt="alt"):
    return parsed(panel("title", alt, LABELS, line_chart, lines).svg)


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def coloured(picture, number, tag="path"):
    return [e for e in picture.iter(tag) if f"var(--c{number})" in e.get("style", "")]


def scales(picture):
    """Position of each tick, by its label: of the axis below, and of the axis at the left."""
    texts = [text for text in picture.iter("text") if text.get("transform") is None]
    grid = [numbers(p.get("d")) for p in picture.iter("path") if "--line" in p.get("style", "")]
    across = [y0 for x0, y0, x1, y1 in grid if y0 == y1]
    below = {t.text: float(t.get("x")) for t in texts if "middle" in t.get("style")}
    left = [t.text for t in texts if "end" in t.get("style")]
    return below, dict(zip(left, across, strict=True))


def test_points_stand_where_they_belong():
    picture = chart(Line("a", [0, 0.4, 1], [0, 60, 100], 0))
    x, y = scales(picture)
    (path,) = coloured(picture, 0)
    points = np.array(numbers(path.get("d"))).reshape(3, 2)
    expected = [[x[a], y[b]] for a, b in (("0.0", "0"), ("0.4", "60"), ("1.0", "100"))]
    np.testing.assert_allclose(points, expected, atol=0.11)
    marks = [[float(use.get(k)) for k in "xy"] for use in picture.iter("use")]
    np.testing.assert_allclose(marks, expected, atol=0.11)


def test_a_figure_that_is_undefined_leaves_a_gap():
    picture = chart(Line("a", [0, 0.3, 0.6, 0.8, 1], [1, 2, NAN, 3, 4], 1, [0] * 5, [NAN] * 5))
    (path,) = coloured(picture, 1)
    assert re.sub(r"[^ML]", "", path.get("d")) == "MLML"
    (marks,) = coloured(picture, 1, "g")
    assert len(list(marks)) == 4
    assert not any("fill-opacity" in path.get("style", "") for path in picture.iter())


def test_a_band_goes_there_and_back():
    picture = chart(Line("a", [0, 1], [50, 50], 0, [20, 40], [60, 80]))
    x, y = scales(picture)
    (band,) = (path for path in coloured(picture, 0) if "fill-opacity:0.2" in path.get("style"))
    points = np.array(numbers(band.get("d"))).reshape(-1, 2)
    corners = [(x[a], y[b]) for a, b in (("0", "20"), ("0", "60"), ("1", "40"), ("1", "80"))]
    apart = np.abs(points[:, None] - corners).max(axis=-1)
    assert apart.min(axis=0).max() < 0.11
    assert apart.min(axis=1).max() < 0.11


@pytest.mark.parametrize("style", range(STYLES))
def test_every_marker_is_around_its_point(style):
    points = {style: np.array([[0.5, 50.0], [0.0, 0.0], [1.0, 100.0]])}
    picture = parsed(panel("title", "alt", LABELS, scatter_chart, points).svg)
    x, y = scales(picture)
    (group,) = coloured(picture, style, "g")
    assert "fill-opacity:0.75" in group.get("style")
    first = group[0]
    middle = [(x["0.0"] + x["1.0"]) / 2, (y["0"] + y["100"]) / 2]
    np.testing.assert_allclose([float(first.get(k)) for k in "xy"], middle, atol=0.11)
    (marker,) = picture.iter("defs")
    outline = numbers(marker[0].get("d"))
    assert 2 < max(outline) < 5
    assert min(outline) == pytest.approx(-max(outline), abs=0.11)


def test_bars_begin_at_nothing():
    shown = (np.array([0, 0.5, 1]), np.array([100.0, 25.0]))
    picture = parsed(panel("title", "alt", LABELS, histogram, *shown).svg)
    x, y = scales(picture)
    (bars,) = coloured(picture, 0)
    points = np.array(numbers(bars.get("d"))).reshape(-1, 2)
    quarter = y["0"] + (y["100"] - y["0"]) / 4
    heights = [y["0"], y["100"], y["100"], quarter, quarter, y["0"]]
    np.testing.assert_allclose(points[:6, 1], heights, atol=0.11)
    np.testing.assert_allclose(points[[0, -1], 0], [x["0.0"], x["1.0"]], atol=0.11)


def test_a_picture_says_what_it_shows():
    picture = chart(Line("a", [0, 1], [0, 1], 0), alt='rises & "falls" <slowly>')
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == 'rises & "falls" <slowly>'
    assert {"rate", "percent & more"} <= {text.text for text in picture.iter("text")}


def test_a_picture_is_as_wide_as_its_place():
    picture = chart(Line("a", [0, 1], [0, 1], 0))
    assert picture.get("viewBox") == "0 0 340 240"
    assert set(picture.attrib) == {"viewBox", "role", "aria-label"}
    places = [[float(e.get(k)) for k in "xy"] for e in picture.iter() if e.get("x")]
    assert np.all(np.array(places) > 0)
    assert np.all(np.array(places) < [340, 240])


def test_a_name_may_hold_anything():
    labels = ("$a_1$ {b", "$\\frac")
    svg = panel("t", "alt", labels, line_chart, [Line("$x$", [0, 1], [0, 1], 0)]).svg
    assert set(labels) <= {text.text for text in parsed(svg).iter("text")}


def test_all_colours_are_the_page_s_in_light_and_in_dark():
    lines = [Line("", [0, 1], [0, 1], style, [0, 0], [1, 2]) for style in range(STYLES)]
    svg = panel("t", "alt", LABELS, line_chart, lines).svg
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert used == {*(f"c{style}" for style in range(STYLES)), "line", "soft"}
    paints = re.findall(r"(?:fill|stroke):([^;\"]+)", svg)
    assert {paint for paint in paints if not paint.startswith("var(")} == {"none"}
    for name, colour in COLOURS.items():
        light, dark = re.findall(rf"--{name}: (#\w+);", to_html(Document("", [], [])))
        assert light == colour != dark


def test_a_colour_that_the_page_does_not_have_is_refused():
    figure = Figure()
    figure.add_artist(Line2D([0, 1], [0, 1], color="red"))
    with pytest.raises(KeyError, match="#ff0000"):
        inline_svg(figure, "alt")


def test_nothing_reaches_beyond_the_picture():
    line = Line("a", [0, 1], [0, 1], 0, [0, 0], [1, 2])
    svg = panel("t", "alt", LABELS, line_chart, [line]).svg
    tags = {element.tag for element in parsed(svg).iter()}
    assert tags == {"svg", "g", "path", "text", "defs", "use"}
    assert not re.search(r"clip|xmlns|xlink|http|url\(|class=|font|<!--", svg)


def test_markers_of_equal_pictures_have_ids_of_their_own():
    svg = panel("t", "alt", LABELS, line_chart, [Line("a", [0, 1], [0, 1], s) for s in (0, 1)]).svg
    plain = '<p id="m0">href="#m0"</p>'
    page = parsed(number_markers(f"<main>{svg}{plain}{svg}</main>"))
    assert page.find("p").get("id") == "m0"
    assert page.find("p").text == 'href="#m0"'
    ids = [[path.get("id") for path in picture.iter("path") if path.get("id")] for picture in page]
    assert len({name for found in ids for name in found}) == sum(map(len, ids)) == 4
    for picture, found in zip(page, ids, strict=True):
        assert {use.get("href")[1:] for use in picture.iter("use")} <= set(found)

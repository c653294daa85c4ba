"""The whole report, for every form of label and every protocol."""

import re
from xml.etree import ElementTree

import pytest
from evaluation_case import run
from report_case import evaluation_of, labels_with, material_of

from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS
from fsrf_jax.reporting.build import DETAILED, build
from fsrf_jax.reporting.html import to_html
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.material import Absent, RunGroup

LABELS = labels_with(12, 9, 2)
NOTHING = Absent("no data here.")


def report_of(evaluation, names=("a", "b")):
    methods = [RunGroup(name, [material_of(evaluation, name)]) for name in names]
    twice = {"a": methods[0].evaluated, "b": methods[0].evaluated}
    same = compare_methods(twice, resamples=5)["b"]
    return build(methods, {m.name: same for m in methods[1:]}, NOTHING, {}, ("left out: c",))


def check(document):
    page = to_html(document)
    # Void elements and booleans are the only things that XML does not have.
    body = re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", page)
    root = ElementTree.fromstring(body)
    for table in root.iter("table"):
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1, table.find("caption").text
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b", "".join(root.itertext()))
    assert not re.search(r"\b(nan|inf)\b", " ".join(p.get("d") for p in root.iter("path")))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    for picture in root.iter("svg"):
        assert picture.get("role") == "img"
        assert picture.get("aria-label")
        inside = {element.get("id") for element in picture.iter()}
        assert {use.get("href")[1:] for use in picture.iter("use")} <= inside
    assert not re.search(r"http|url\(|@import|<(script|link|img|image)\b", page)
    return root


@pytest.mark.parametrize("form", ["number", "class", "binary"])
def test_every_form_of_label(form):
    document = report_of(run(form=form))
    root = check(document)
    assert root.find("body/header/h1").text == "Report: a, b"
    assert "left out: c" in "".join(root.itertext())
    assert "Bayes" in to_markdown(document, "x.html")


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_protocol(protocol):
    check(report_of(evaluation_of(LABELS, protocol)))


def test_labels_of_sims():
    check(report_of(evaluation_of(LABELS / 2, metrics="sims")))


def test_one_method_and_many():
    assert report_of(evaluation_of(LABELS), ("a",)).title == "Report: a"
    many = report_of(evaluation_of(LABELS), [f"m{i}" for i in range(6)])
    assert many.title == "Report: 6 methods, from m0 to m5"
    assert any(f"the first {DETAILED} methods alone" in text for text in many.lead[0].texts)
    check(many)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [((0,), "one training seed"), ((0, 1), "a claim needs 5"), (range(5), None)],
)
def test_the_lead_says_how_many_seeds_there_are(seeds, words):
    method = RunGroup("m", [material_of(evaluation_of(LABELS), f"m{s}", s) for s in seeds])
    lead = " ".join(build([method], {}, NOTHING, {}).lead[0].texts)
    assert ("seed" in lead.replace("differ in the training seed alone", "")) == (words is not None)
    assert words is None or words in lead

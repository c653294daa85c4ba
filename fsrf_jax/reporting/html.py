"""A report as one HTML page that needs nothing else: no script, no font, no file, no network."""

import re
from importlib.resources import files

import jinja2

from fsrf_jax.reporting.colours import COLOURS
from fsrf_jax.reporting.document import Document
from fsrf_jax.reporting.svg import number_markers


def to_html(document: Document) -> str:
    """Write a document; the same document gives the same bytes."""
    here = files("fsrf_jax.reporting")
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    made.filters["anchor"] = lambda title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    page = made.from_string(here.joinpath("page.html.jinja").read_text("utf-8"))
    style = here.joinpath("page.css").read_text("utf-8")
    return number_markers(page.render(document=document, colours=COLOURS, style=style))

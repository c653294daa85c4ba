"""A document as HTML and as Markdown: whole, escaped, and readable without the pictures."""

from html.parser import HTMLParser

from fsrf_jax.reporting.document import (
    Code,
    Document,
    Figure,
    Folded,
    Items,
    Panel,
    Paragraph,
    Section,
    Table,
)
from fsrf_jax.reporting.html import to_html
from fsrf_jax.reporting.markdown import markdown_table, to_markdown

VOID = {"meta", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and keeps them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


TABLE = Table("A | b <c>", ["row", "x & y"], [["*one*|", "<i>"], ["all", ""]], ["n < 3"], strong=1)
SVG = '<svg viewBox="0 0 1 1" role="img" aria-label="a dot"><path d="M0 0h1"/></svg>'
DOCUMENT = Document(
    title="Report: <run> & more",
    lead=[Items(["first <b>", "second"])],
    sections=[
        Section("One & two", [Paragraph("a < b"), TABLE, Code("x: <y>\nz: 1")]),
        Section(
            "Three",
            [
                Figure("Dots <here>", [Panel("left", SVG, "a dot")], [(SVG, "dots & lines")]),
                Folded("More & more", [TABLE]),
            ],
        ),
    ],
)


def test_the_page_is_whole_and_shows_all_text():
    page = Page(to_html(DOCUMENT))
    text = "".join(page.texts)
    for part in ("Report: <run> & more", "first <b>", "a < b", "x: <y>\nz: 1", "<i>", "n < 3"):
        assert part in text
    assert [level for level, _ in page.found if level in ("h1", "h2")] == ["h1", "h2", "h2"]
    assert len(page.all("caption")) == len(page.all("table")) == 2
    scopes = [th.get("scope") for th in page.all("th")]
    assert scopes == ["col", "col", "row", "row"] * 2
    assert len(page.all("tbody")) == 4  # what stands for several rows is apart


def test_links_lead_to_the_sections():
    page = Page(to_html(DOCUMENT))
    ids = [attributes["id"] for attributes in page.all("h2")]
    assert [a["href"] for a in page.all("a")] == [f"#{i}" for i in ids] == ["#one-two", "#three"]


def test_the_page_needs_nothing_else():
    text = to_html(DOCUMENT)
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.found}
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_same_document_is_the_same_page():
    assert to_html(DOCUMENT) == to_html(DOCUMENT)


def test_markdown_has_the_tables_and_tells_of_the_pictures():
    text = to_markdown(DOCUMENT, "page.html")
    assert text.startswith("# Report: <run> & more\n\n- first <b>\n- second\n\n## One & two\n")
    assert "Figure, drawn in page.html: Dots <here>\n\n- left: a dot\n" in text
    assert "### More & more\n" in text
    assert "```\nx: <y>\nz: 1\n```" in text


def test_what_is_folded_can_stay_so_in_markdown():
    text = to_markdown(DOCUMENT, "page.html", foldable=True)
    table = markdown_table(TABLE)
    assert text.endswith(f"<details><summary>More & more</summary>\n\n{table}\n\n</details>\n")
    plain = to_markdown(DOCUMENT, "page.html")
    assert plain.endswith(f"### More & more\n\n{table}\n")


def test_a_markdown_table_keeps_its_columns():
    assert markdown_table(TABLE).splitlines() == [
        "**A | b <c>**",
        "",
        "|row|x & y|",
        "|---|---:|",
        "|\\*one\\*\\||<i>|",
        "|**all**||",
        "",
        "- n < 3",
    ]

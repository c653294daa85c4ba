"""`report`: finished runs as one HTML page, as Markdown, and as a table for a paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonargparse

from fsrf_jax import arguments
from fsrf_jax.cli.main import guarded
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.runs import check_comparable
from fsrf_jax.experiments.report_inputs import codes_of, open_data
from fsrf_jax.files import write_text
from fsrf_jax.reporting.build import DETAILED, build
from fsrf_jax.reporting.card import card_document
from fsrf_jax.reporting.html import to_html
from fsrf_jax.reporting.markdown import markdown_table, to_markdown
from fsrf_jax.reporting.material import (
    RunGroup,
    group,
    has_members,
    read_members,
    read_run,
)
from fsrf_jax.reporting.paper_table import latex_table, paper_table

DESCRIPTION = """Write a report on finished runs: one HTML page that needs no network, the same as
Markdown, and the table for a paper as Markdown and LaTeX; of a single run a model card as well. RUN
is a run folder made by train, a results file made by evaluate --output, or a folder made by ablate
or rank (of a ranking in folds, one fold), which stands for all of its members. Runs whose settings
differ in the training seed alone are one method; every other method is compared with the first one.
Runs that were not evaluated alike are refused."""


@dataclass(frozen=True)
class Found:
    """What the arguments name: methods, and notes on members that are left out."""

    methods: Sequence[RunGroup]
    left_out: Sequence[str]


def command(argv: Sequence[str]) -> int:
    """Run `report` with these arguments and return the exit status."""
    parser = jsonargparse.ArgumentParser(
        prog="report", description=DESCRIPTION, exit_on_error=False
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="*", help="run folder, results file, ablation, ranking"
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER_OR_FILE.html",
        help="where; default: report.html in the folder of the one RUN, or here for several",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="print the table for a paper and write only it, as table.md and table.tex",
    )
    parsed = arguments.parse_plain(parser, argv)
    paths = [Path(run) for run in parsed.runs]
    if not paths:
        raise ConfigError("RUN: expected one run folder or more; see report --help.")
    page = _page(parsed.output, paths)
    found = _find(paths)
    check_comparable([run.evaluated for method in found.methods for run in method.runs])
    texts = _tables(page, found.methods)
    if parsed.table:
        print(texts[_beside(page, "table.md")], end="")
    else:
        texts |= _report(page, found) | _card(page, paths, found.methods)
    page.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():  # all is made before anything is written
        write_text(path, text)
    for line in (*found.left_out, *(f"Written: {path}" for path in texts)):
        print(line)
    return 0


def _tables(page: Path, methods: Sequence[RunGroup]) -> dict[Path, str]:
    table = paper_table(methods)
    return {
        _beside(page, "table.md"): markdown_table(table) + "\n",
        _beside(page, "table.tex"): latex_table(table),
    }


def _report(page: Path, found: Found) -> dict[Path, str]:
    methods = found.methods
    comparisons = compare_methods({method.name: method.evaluated for method in methods})
    source = open_data([run for method in methods for run in method.runs])
    codes = {method.name: codes_of(method.first, source) for method in methods[:DETAILED]}
    document = build(methods, comparisons, source, codes, found.left_out)
    markdown = page.with_suffix(".md")
    return {page: to_html(document), markdown: to_markdown(document, page.name)}


def _card(page: Path, paths: Sequence[Path], methods: Sequence[RunGroup]) -> dict[Path, str]:
    """The model card of one run; none of several, of an ablation, or where there is no network."""
    results = methods[0].first.results
    if len(paths) > 1 or has_members(paths[0]) or "run" not in results:
        return {}
    return {_beside(page, "card.md"): to_markdown(card_document(results), foldable=True)}


def _page(output: str | None, paths: Sequence[Path]) -> Path:
    """The HTML file.

    Raises:
        ConfigError: what is named is a file of another kind.
    """
    if output is None:
        alone = len(paths) == 1 and paths[0].is_dir()
        return paths[0] / "report.html" if alone else Path("report.html")
    page = Path(output)
    if page.suffix == ".html" and not page.is_dir():
        return page
    if page.suffix in (".md", ".json", ".pdf", ".tex") or page.is_file():
        raise ConfigError(f"--output: found {output}, expected a folder, or a file NAME.html.")
    return page / "report.html"


def _beside(page: Path, name: str) -> Path:
    """report.html has table.md beside it, any other NAME.html NAME.table.md."""
    return page.with_name(name if page.stem == "report" else f"{page.stem}.{name}")


def _find(paths: Sequence[Path]) -> Found:
    """The methods that the paths name: single runs first, then variants of ablations."""
    methods = group(read_run(path) for path in paths if not has_members(path))
    left_out: list[str] = []
    for path in filter(has_members, paths):
        variants, missing = read_members(path)
        methods += variants
        left_out += missing
    names = [method.name for method in methods]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RunError(
            f"{twice}: two methods have this name, expected different ones; rename a folder."
        )
    return Found(methods, left_out)


main = guarded(command)

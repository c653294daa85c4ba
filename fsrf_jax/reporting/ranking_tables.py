"""A ranking in words: methods with floors, differences to the reference, a sentence per claim."""

from collections.abc import Mapping, Sequence

from fsrf_jax.evaluation.comparison import Comparison, by_fold, spread_of
from fsrf_jax.evaluation.metrics.families import Column
from fsrf_jax.evaluation.metrics.statistics import Difference
from fsrf_jax.evaluation.ranking import LEVEL, RATES, Claim
from fsrf_jax.evaluation.results import AVERAGE, EVERYTHING, Results, family_of_results, rows_of
from fsrf_jax.evaluation.runs import Evaluated
from fsrf_jax.reporting.document import Block, Document, Items, Section, Table
from fsrf_jax.reporting.numbers import p_value, shown, signed, spread_cell
from fsrf_jax.reporting.results_tables import averaged, counted, has_bayes, title_of

Methods = Mapping[str, Sequence[Evaluated]]


def ranking_document(
    methods: Methods,
    comparisons: Mapping[str, Comparison],
    claims: Sequence[Claim],
    rows: Sequence[str],
    metrics: Sequence[str],
    notes: Sequence[str],
) -> Document:
    """Scores, differences and claims.

    Args:
        methods: runs by method and floor; the first is the reference.
        comparisons: to the reference, see `compare_methods`.
        claims: see `fsrf_jax.evaluation.ranking.claims`.
        rows: keys of the rows.
        metrics: the figures.
        notes: on budget and choice.
    """
    results = next(iter(methods.values()))[0].results
    columns = [_column(results, metric) for metric in metrics]
    scores: list[Block] = [_scores(methods, results, row, columns) for row in rows]
    sections = [Section("Scores", [*scores, Items([*_rules(methods, results), *notes])])]
    if comparisons:
        differences: list[Block] = [
            _differences(methods, comparisons, results, row, column)
            for column in columns
            for row in rows
        ]
        words = [_sentence(claim, next(iter(methods)), results) for claim in claims]
        sections.append(Section("Claims", [Items(words)]))
        sections.append(Section("Differences", [*differences, Items(_chances(methods, results))]))
    return Document(f"Ranking, {title_of(results)}", [], sections)


def row_words(results: Results, row: str) -> str:
    """What a row is of."""
    rule = results["protocol_description"]["average"]
    words = {
        AVERAGE: rule["in_words"],
        RATES: "mean over the frame rates",
        EVERYTHING: "mean over every condition that shows a frame",
    }
    return words.get(row, f"everything seen ({row})" if "+" in row else row)


def _column(results: Results, metric: str) -> Column:
    known = {column.metric: column for column in family_of_results(results).columns}
    return known.get(metric) or Column(metric, metric, percent=metric not in ("mae", "corr"))


def _scores(methods: Methods, results: Results, row: str, columns: Sequence[Column]) -> Table:
    body = [
        [name, *(spread_cell(spread_of(runs, row, c.metric), c) for c in columns)]
        for name, runs in methods.items()
    ]
    entries = [rows_of(run.results)[row] for run in next(iter(methods.values()))]
    for title, key in (("best constant", "floor"), *([("Bayes", "bayes")] * has_bayes(results))):
        found = [[entry[key][c.metric] for entry in entries] for c in columns]  # type: ignore[literal-required]
        means = [None if None in f else sum(f) / len(f) for f in found]
        body.append([title, *(shown(m, c) for m, c in zip(means, columns, strict=True))])
    header = ["method", *(column.title for column in columns)]
    return Table(row_words(results, row), header, body)


def _differences(
    methods: Methods,
    comparisons: Mapping[str, Comparison],
    results: Results,
    row: str,
    column: Column,
) -> Table:
    several = len(by_fold(next(iter(methods.values())))) > 1
    reference, *_ = methods
    header = ["method", f"difference to {reference}", "95 % over samples", "p"]
    header += ["95 % over seeds", "p", *(["95 % over folds", "p"] if several else [])]
    body = []
    for name, comparison in comparisons.items():
        found = comparison[row][column.metric]
        cells = [signed(found.difference, column), _ends(found.samples, column)]
        cells += [p_value(found.samples_p), *_of(found.seeds, column)]
        body.append([name, *cells, *(_of(found.folds, column) if several else [])])
    return Table(f"{column.title}, {row_words(results, row)}", header, body)


def _of(found: Difference | None, column: Column) -> list[str]:
    if found is None or found.low is None or found.high is None:
        return ["-", "-"]
    return [_ends([found.low, found.high], column), p_value(found.p)]


def _ends(ends: Sequence[float] | None, column: Column) -> str:
    return "-" if ends is None else " .. ".join(signed(end, column) for end in ends)


def _sentence(claim: Claim, reference: str, results: Results) -> str:
    column, found = _column(results, claim.metric), claim.found
    where = f"{column.title}, {row_words(results, claim.row)}"
    how = f"by {signed(found.difference, column)} (95 % {_ends(found.samples, column)}"
    how += f", p {p_value(found.samples_p)})"
    if claim.verdict == "no difference shown":
        return f"{where}: no difference of {claim.method} to {reference} is shown: {how[3:]}."
    return f"{where}: {claim.method} is {claim.verdict} than {reference} {how}."


def _rules(methods: Methods, results: Results) -> list[str]:
    runs = next(iter(methods.values()))
    folds = by_fold(runs)
    seeds = sorted({run.results["training_seed"] for run in runs}, key=str)
    words = [f"{counted(results)} {averaged(results)}"]
    if len(folds) > 1:
        n = sum(found[0].results["n"] for found in folds.values())
        words = [
            f"{len(folds)} folds, {n} test samples in all: a figure is the mean over the folds of "
            f"what it is on each. {averaged(results)}"
        ]
    listed = ", ".join(map(str, seeds))
    words.append(f"Mean ± standard deviation over the training seeds {listed}; floors have none.")
    masks = ", ".join(map(str, results["mask_seeds"]))
    return [*words, f"Mean over the mask seeds {masks}."]


def _chances(methods: Methods, results: Results) -> list[str]:
    unit = "samples" if results["unit"] == "sample" else "groups of samples"
    several = len(by_fold(next(iter(methods.values())))) > 1
    words = [
        f"over samples: paired bootstrap over the test {unit}{', within folds' * several}.",
        "over seeds: paired t-test over the training seeds.",
        "All p are corrected for the number of methods that are compared with the reference "
        f"(Holm). Better and worse: p over samples below {LEVEL:g}.",
    ]
    folds = "over folds: corrected resampled t-test (Nadeau and Bengio 2003)."
    return [*words[:2], *([folds] if several else []), words[2]]

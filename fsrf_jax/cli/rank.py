"""`rank`: methods under one protocol, budget and selection rule, in one table with claims."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from fsrf_jax import arguments, packaged, sealed
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.several import check_counts, without
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError, InterruptedTraining
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.ranking import (
    claims,
    ranked_figures,
    ranked_rows,
    ranking_table,
    with_frame_rates,
)
from fsrf_jax.evaluation.runs import Evaluated, read_evaluated
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.ranking import Ranked, rank, shares_taken
from fsrf_jax.experiments.search import read_search
from fsrf_jax.files import write_text
from fsrf_jax.reporting.captions import SELECTIONS
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.ranking_tables import ranking_document

DESCRIPTION = """Train methods on one data set under one budget, let each choose among as many
settings on the validation split, test all on identical masks, and say of each whether it is
better or worse than the first one. With data.folds every fold chooses, trains and tests anew. Every
network has a run folder of its own; the same command goes on where it was interrupted.

  rank --config configs/demo.yaml --methods fsrf,task_only,late_fusion --seeds 3"""

OWN = ("--methods", "--search", "--seeds", "--folds", "--figures", "--together")


def command(argv: Sequence[str]) -> int:
    """Run `rank` with these arguments and return the exit status."""
    usage = "--methods NAME,NAME [--search FILE] [--seeds N] [--folds K,K] [--figures NAME,NAME]"
    parser = arguments.make_parser("rank", DESCRIPTION, argv, usage=usage)
    _add_options(parser)
    config, options = arguments.parse(parser, argv)
    _check(argv, config, options)
    base = without(argv, OWN)
    files = _method_files(options.methods)
    search = packaged.find(options.search, "searches", "--search") if options.search else None
    candidates = read_search(search, files, base)
    first = next(iter(candidates[next(iter(files))].values()))
    resolve(first.evaluation.protocol, first.data.modalities)  # or an error before all else
    folder = run_folder.choose(config, f"{arguments.config_name(argv)}-ranking")
    run_folder.check_several(folder)
    seeds = [config.training.seed + number for number in range(options.seeds)]
    folds = _folds(options.folds, config.data.folds)
    console = Console()
    say = partial(console.out, highlight=False)
    try:
        ranked = rank(folder, candidates, folds, seeds, options.together, say)
    except InterruptedTraining as interruption:
        console.out(f"{interruption}; go on with --output.directory {folder}", highlight=False)
        return interruption.status
    text = _write(folder, ranked, config.evaluation.bootstrap, _listed(options.figures))
    console.print(Markdown(text))
    console.out(f"Ranking folder: {folder}", highlight=False)
    return 0


def _add_options(parser: Any) -> None:
    add = parser.add_argument
    add(
        "--methods",
        required=True,
        help="two or more files of configs/methods by name, or paths; the first is the reference",
    )
    add(
        "--search",
        metavar="FILE",
        default=None,
        help="YAML: candidates: {name: {section.option: value, ...}, ...}, which every method "
        "tries on the validation split; methods: {METHOD: {...}} names others for one method; or a "
        "packaged one by name, as regularisation",
    )
    add("--seeds", type=int, default=3, help="training seeds of each method")
    add("--folds", default="", help="which folds, as 0,1; empty: all of data.folds")
    add("--figures", default="", help="metrics that claims are made of, as corr,mae")
    add(
        "--together",
        type=int,
        default=0,
        help="networks that train as one program; 0: as many as are useful and fit the memory",
    )


def _check(argv: Sequence[str], config: Config, options: argparse.Namespace) -> None:
    check_counts(seeds=options.seeds, together=options.together)
    given = [one for one in argv if one.startswith("--method.")]
    if given:
        raise ConfigError(
            f"{given[0]}: expected no option of one method, because there are several: put it in "
            "a file and give its path in --methods, or in the file of --search."
        )
    _folds(options.folds, config.data.folds)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _method_files(text: str) -> dict[str, Path]:
    """The config file of every method, by the name that its row and its folder have."""
    paths = [packaged.find(name, "methods", "--methods") for name in _listed(text)]
    files = {path.stem: path for path in paths}
    if len(files) < 2 or len(files) < len(paths):
        raise ConfigError(
            f"--methods: found {text!r}, expected two different names or more, as fsrf,task_only."
        )
    return files


def _folds(text: str, count: int) -> list[int | None]:
    """Numbers of the folds; [None] without any."""
    asked = _listed(text)
    if not count:
        if asked:
            raise ConfigError(f"--folds: found {text}, expected nothing: data.folds is 0.")
        return [None]
    for one in asked:
        if not one.isdigit() or int(one) >= count or asked.count(one) > 1:
            raise ConfigError(f"--folds: found {text}, expected numbers from 0 to {count - 1}.")
    return [int(one) for one in asked] or list(range(count))


def _write(folder: Path, ranked: Sequence[Ranked], resamples: int, figures: Sequence[str]) -> str:
    """Compare all that was tested, write it in all its forms, and return it as Markdown."""
    methods: dict[str, list[Evaluated]] = {}
    for of_fold in ranked:
        places = [(member.variant, member.folder) for member in of_fold.members]
        for name, place in [*places, *of_fold.floors.items()]:
            run = with_frame_rates(read_evaluated(place))
            methods.setdefault(name, []).append(run)
    comparisons = compare_methods(methods, resamples)
    results = next(iter(methods.values()))[0].results
    rows, metrics = ranked_rows(results), ranked_figures(results, figures)
    made = claims(comparisons, results, rows, metrics)
    document = ranking_document(methods, comparisons, made, rows, metrics, _notes(ranked))
    text = to_markdown(document)
    table = ranking_table(methods, comparisons, rows, metrics)
    choices = [{"fold": r.fold, "chosen": r.chosen, "validation_errors": r.errors} for r in ranked]
    write_text(folder / "ranking.md", text)
    sealed.write(folder / "ranking.json", {**table, "choices": choices})
    return text


def _notes(ranked: Sequence[Ranked]) -> list[str]:
    members = ranked[0].members
    config = members[0].config
    views = config.method.views + config.method.complete_view
    notes = [
        f"Budget of every method: {config.training.epochs} epochs of {views} views of each sample, "
        f"{config.training.batch_size} samples in a step.",
        "The epoch of every network is that of the lowest validation error "
        f"({SELECTIONS[config.training.selection]}).",
    ]
    if config.training.init_from is not None:
        shares = [f"{name} {share:.0%}" for name, share in shares_taken(members).items()]
        notes.append(
            f"Every method starts from what fits of {config.training.init_from}: of its parameters "
            f"{', '.join(shares)}."
        )
    if not ranked[0].errors:
        return [*notes, "Every method has the settings of its file."]
    count = len(next(iter(ranked[0].errors.values())))
    notes.append(f"Every method chose one of {count} candidates by the same error, one seed each.")
    for of_fold in ranked:
        where = "Chosen" if of_fold.fold is None else f"Chosen on fold {of_fold.fold}"
        listed = ", ".join(f"{method}: {name}" for method, name in of_fold.chosen.items())
        notes.append(f"{where}: {listed}.")
    return notes


main = guarded(command)

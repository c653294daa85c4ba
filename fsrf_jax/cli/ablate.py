"""`ablate`: train and evaluate variants of an experiment, and compare them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from fsrf_jax import arguments, packaged, sealed
from fsrf_jax.cli.main import guarded
from fsrf_jax.cli.several import check_counts, without
from fsrf_jax.errors import InterruptedTraining
from fsrf_jax.evaluation.ablation_table import ablation_table
from fsrf_jax.evaluation.comparison import compare_methods
from fsrf_jax.evaluation.probes.compare import compare_probes
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments.ablation import probe_members, train_members
from fsrf_jax.experiments.members import Member
from fsrf_jax.experiments.variants import read_variants
from fsrf_jax.files import write_text
from fsrf_jax.reporting.ablation_plot import save_ablation_plot
from fsrf_jax.reporting.comparison_tables import ablation_document
from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.material import RunGroup, read_run
from fsrf_jax.reporting.probes_tables import compared_probes

DESCRIPTION = """Train every variant that the ablation file names with several seeds, evaluate all
on identical masks, and write a table of means, spreads and paired differences to the first variant.
Every member has a run folder of its own under DIRECTORY/members; the same command goes on where it
was interrupted, and trains nothing twice.

  ablate --config configs/demo.yaml --ablation configs/ablations/terms.yaml --seeds 5 --probes"""

OWN = ("--ablation", "--seeds", "--together")


def command(argv: Sequence[str]) -> int:
    """Run `ablate` with these arguments and return the exit status."""
    usage = "--ablation FILE [--seeds N] [--together N] [--probes]"
    parser = arguments.make_parser("ablate", DESCRIPTION, argv, usage=usage)
    parser.add_argument(
        "--ablation",
        metavar="FILE",
        required=True,
        help="YAML: variants: {name: {section.field: value, ...}, ...}; the first is the reference"
        "; or a packaged one by name, as terms",
    )
    parser.add_argument("--seeds", type=int, default=5, help="training seeds of each variant")
    parser.add_argument(
        "--together",
        type=int,
        default=0,
        help="members that train as one program; 0: as many as are useful and fit the memory",
    )
    parser.add_argument(
        "--probes",
        action="store_true",
        help="also measure what the codes of every member hold",
    )
    config, options = arguments.parse(parser, argv)
    check_counts(seeds=options.seeds, together=options.together)
    resolve(config.evaluation.protocol, config.data.modalities)  # or an error before all else
    path = packaged.find(options.ablation, "ablations", "--ablation")
    folder = run_folder.choose(config, f"{arguments.config_name(argv)}-{path.stem}")
    run_folder.check_several(folder)
    base = without(argv, OWN, ("--probes",))
    members = [
        Member.make(folder, name, variant, config.training.seed + number)
        for name, variant in read_variants(path, base).items()
        for number in range(options.seeds)
    ]
    console = Console()
    say = partial(console.out, highlight=False)
    try:
        train_members(folder, members, options.together, say)
    except InterruptedTraining as interruption:
        console.out(f"{interruption}; go on with --output.directory {folder}", highlight=False)
        return interruption.status
    probes = probe_members(members, say) if options.probes else {}
    console.print(Markdown(_write(folder, members, probes)))
    console.out(f"Ablation folder: {folder}", highlight=False)
    return 0


def _write(folder: Path, members: Sequence[Member], probes: Mapping[str, Any]) -> str:
    """Compare the variants, write the table in all its forms, and return it as Markdown."""
    of_variant: dict[str, list[Member]] = {}
    for member in members:
        of_variant.setdefault(member.variant, []).append(member)
    groups = [
        RunGroup(variant, [read_run(m.folder) for m in found])
        for variant, found in of_variant.items()
    ]
    methods = {group.name: group.evaluated for group in groups}
    comparisons = compare_methods(methods, members[0].config.evaluation.bootstrap)
    table, more = ablation_table(methods, comparisons), []
    if probes:
        table["probes"] = compare_probes(probes)
        more = [compared_probes(table["probes"])]
    text = to_markdown(ablation_document(groups, comparisons, table["matched"], more))
    write_text(folder / "ablation.md", text)
    save_ablation_plot(folder / "ablation.png", table)
    sealed.write(folder / "ablation.json", table)
    return text


main = guarded(command)

"""Many runs of one data set: trained as populations, each with a run folder of its own."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from fsrf_jax.cli import arguments, run_folder
from fsrf_jax.cli.run import Run, write_probes, write_results
from fsrf_jax.config import Config
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.evaluation.protocols.files import resolve
from fsrf_jax.evaluation.results import Results
from fsrf_jax.files import replacing
from fsrf_jax.source import Source, fingerprint, open_source
from fsrf_jax.training import build, checkpoints, grouping, population
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loop import EpochRecord, epochs_done
from fsrf_jax.training.sharding import replicate
from fsrf_jax.training.state import TrainState

LINE_EVERY = 10  # epochs between two lines about a member


@dataclass(frozen=True)
class Member:
    """One run of an ablation.

    Attributes:
        variant: name of its variant.
        seed: its training seed.
        folder: its run folder.
        config: its config, with seed and folder.
    """

    variant: str
    seed: int
    folder: Path
    config: Config


@dataclass(frozen=True)
class Shared:
    """What all members share, made once.

    Attributes:
        source: the data.
        normaliser: fitted to the training split.
        programs: by what two configs must share to train as one program, the run that stands for
            them and whether their dropout rates differ. Only with the same run is the same program
            compiled once, however many parts a group is trained in.
        console: for progress.
    """

    source: Source
    normaliser: normalise.Normaliser
    programs: Mapping[Hashable, tuple[Run, bool]]
    console: Console

    def program(self, member: Member) -> tuple[Run, bool]:
        """The run that stands for a member's group, and whether dropout rates differ in it."""
        return self.programs[grouping.static_key(member.config)]


def train_members(
    folder: Path, members: Sequence[Member], together: int, console: Console
) -> dict[str, dict[int, Results]]:
    """Train and evaluate every member that has no results yet.

    Members whose configs differ in arrays alone train as one program, some at a time. What trains
    together is written down before it begins, so that an interrupted part is resumed as it was.

    Args:
        folder: the ablation's folder.
        members: all of them.
        together: how many train at a time; 0: as many as are useful and fit the memory.
        console: for progress.

    Returns:
        Results by variant and seed.

    Raises:
        InterruptedTraining: a signal came; all is saved.
        RunError: a folder holds another experiment, or a loss became NaN or infinite.
    """
    shared = _open(members, console)
    with run_folder.locked(folder):
        for part in _parts(folder, members, together):
            _train_part(folder, part, shared)
    return _by_variant(members, "results.json")


def probe_members(
    members: Sequence[Member], console: Console
) -> dict[str, dict[int, dict[str, Any]]]:
    """Probe every trained member that has no probes yet.

    Args:
        members: all of them, trained.
        console: for progress.

    Returns:
        What `fsrf_jax.evaluation.probes.probe` gives, by variant and training seed.
    """
    shared = _open(members, console)
    for member in members:
        path = member.folder / "probes.json"
        if path.exists():
            continue
        run = dataclasses.replace(shared.program(member)[0], config=member.config)
        with checkpoints.open_manager(member.folder / "checkpoints", read_only=True) as manager:
            write_probes(path, run.probe(*run.restore(manager, shared.normaliser)))
        console.out(f"{_name(member)}: probed", highlight=False)
    return _by_variant(members, "probes.json")


def _open(members: Sequence[Member], console: Console) -> Shared:
    """Check that the members can be compared, and make what they share."""
    forms = {member.config.losses.task.form for member in members}
    if len(forms) > 1:
        raise ConfigError(f"losses.task.kind: found variants for {sorted(forms)}, expected one.")
    for member in members:
        run_folder.check_same(member.folder, member.config)
        _check_epochs(member)
    config = members[0].config
    source = open_source(config.data, config.losses.task.form)
    for name in ("train", "valid", config.evaluation.split):
        source.split(name)
    protocol = resolve(config.evaluation.protocol, config.data.modalities)
    configs = [member.config for member in members]
    programs = {}
    for indices in grouping.groups(configs):
        group = [configs[i] for i in indices]
        run = Run.make(grouping.common(group), source, protocol)
        programs[grouping.static_key(group[0])] = run, grouping.varies_dropout(group)
    normaliser = normalise.fit(source.split("train"), config.data.clip)
    return Shared(source, normaliser, programs, console)


def _by_variant(members: Sequence[Member], file: str) -> dict[str, dict[int, dict[str, Any]]]:
    """What a file of every member's folder holds."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for member in members:
        content = json.loads((member.folder / file).read_text("utf-8"))
        found.setdefault(member.variant, {})[member.seed] = content
    return found


def _is_done(member: Member) -> bool:
    return (member.folder / "results.json").exists()


def _check_epochs(member: Member) -> None:
    """A member that is done was trained for as many epochs as are asked for now."""
    if _is_done(member):
        before = arguments.load(member.folder / "config.yaml").training.epochs
        now = member.config.training.epochs
        if before != now:
            raise RunError(
                f"{member.folder}: was trained for {before} epochs, expected {now}: give "
                f"--training.epochs {before}, or another --output.directory."
            )


def _parts(folder: Path, members: Sequence[Member], together: int) -> Iterator[list[Member]]:
    """What is left to train, in parts that train as one program; begun parts first."""
    by_name = {_name(member): member for member in members}
    for plan in sorted(folder.glob("parts/*/plan.json")):
        names = json.loads(plan.read_text("utf-8"))
        if all(name in by_name for name in names):
            yield [by_name[name] for name in names]
    left = [member for member in members if not _is_done(member)]
    size = grouping.members_at_a_time(together)
    for indices in grouping.groups(member.config for member in left):
        yield from grouping.chunks([left[i] for i in indices], size)


def _name(member: Member) -> str:
    return f"{member.variant}/seed-{member.seed}"


def _train_part(folder: Path, members: list[Member], shared: Shared) -> None:
    """Train members as one program; in two halves, if the memory does not hold them."""
    names = json.dumps([_name(member) for member in members])
    place = folder / "parts" / hashlib.sha256(names.encode()).hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    with replacing(place / "plan.json") as temporary:
        temporary.write_text(names, "utf-8")
    try:
        with contextlib.ExitStack() as stack:
            digest = fingerprint(shared.source.dataset)
            for member in members:
                record = run_folder.opened(member.folder, member.config, digest)
                stack.enter_context(record)()
            _train_and_evaluate(place, members, shared)
    except jax.errors.JaxRuntimeError as error:
        shutil.rmtree(place)
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        if len(members) == 1:
            raise RunError(
                f"{_name(members[0])}: does not fit the device's memory; lower model.width or "
                "training.batch_size."
            ) from error
        half = len(members) // 2
        message = f"{len(members)} members do not fit the memory: trying {half}"
        shared.console.out(message, highlight=False)
        for part in (members[:half], members[half:]):
            _train_part(folder, part, shared)
        return
    shutil.rmtree(place)


def _train_and_evaluate(place: Path, members: list[Member], shared: Shared) -> None:
    run, _ = shared.program(members[0])
    states = _train(place, members, shared)
    for index, member in enumerate(members):
        if _is_done(member):
            continue
        own = dataclasses.replace(run, config=member.config)
        state = replicate(population.member(states, index), run.mesh)
        with checkpoints.open_manager(member.folder / "checkpoints") as manager:
            arrays = {"state": state, "preparation": shared.normaliser.to_tree()}
            checkpoints.save(manager, epochs_done(run.method, state), arrays)
        evaluation, results = own.evaluate(state, shared.normaliser)
        write_results(member.folder / "results.json", evaluation, results)
        shared.console.out(f"{_name(member)}: evaluated", highlight=False)


def _train(place: Path, members: list[Member], shared: Shared) -> TrainState:
    """The trained states of all members."""
    run, vary = shared.program(members[0])
    config, method, mesh, normaliser = run.config, run.method, run.mesh, shared.normaliser
    train, valid = (normaliser.apply(run.source.split(name)) for name in ("train", "valid"))
    draws = config.training.validation_draws
    data = replicate(build.make_batch(train), mesh)
    validation = replicate(build.make_validation(valid, method.missing, draws), mesh)
    hypers = [build.make_hyper(member.config, dropout=vary) for member in members]
    example = build.make_batch(train.head(1))
    keys = jnp.stack([jax.random.key(member.seed) for member in members])
    states = population.init_population(method, example, keys)
    with checkpoints.open_manager(place / "checkpoints") as manager:
        if manager.latest_step() is not None:
            target = {"state": states, "preparation": normaliser.to_tree()}
            states = checkpoints.restore(manager, target)["state"]
        done = int(states.step.max()) // method.steps_per_epoch
        with _reporting(members, done, config, shared.console) as report:
            states = population.fit_population(
                method,
                mesh,
                states,
                data,
                validation,
                population.split_members(population.stack(hypers), mesh),
                epochs=config.training.epochs,
                patience=config.training.patience,
                manager=manager,
                checkpoint_every=config.output.checkpoint_every,
                preparation=normaliser.to_tree(),
                report=report,
            )
    return states


@contextlib.contextmanager
def _reporting(
    members: list[Member], done: int, config: Config, console: Console
) -> Iterator[Callable[[int, EpochRecord], None]]:
    """A function that writes a member's record to its journal, and now and then to the console."""
    with contextlib.ExitStack() as stack:
        journals: list[Any] = [
            stack.enter_context(open_journal(member.folder, done)) for member in members
        ]

        def report(index: int, record: EpochRecord) -> None:
            journals[index](record)
            last = record.epoch == config.training.epochs
            if config.output.progress and (last or record.epoch % LINE_EVERY == 0):
                console.out(
                    f"{_name(members[index])}: epoch {record.epoch}/{config.training.epochs}  "
                    f"validation error {record.validation_error:.4f} "
                    f"(best after epoch {record.best_epoch})",
                    highlight=False,
                )

        yield report

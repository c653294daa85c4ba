"""Many runs of one data set: trained as populations, each with a run folder of its own."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from fsrf_jax import arguments, sealed, sharding
from fsrf_jax.config import OutputConfig
from fsrf_jax.data import normalise
from fsrf_jax.errors import ConfigError, NoCodesError, RunError
from fsrf_jax.evaluation.protocols.masks import make_observer
from fsrf_jax.experiments import folder as run_folder
from fsrf_jax.experiments import scheduling
from fsrf_jax.experiments.experiment import Experiment, open_experiment, teacher_config
from fsrf_jax.experiments.members import (
    Member,
    Shared,
    is_evaluated,
    name_of,
    saying,
    set_aside_newest,
)
from fsrf_jax.experiments.outputs import averages_of, write_probes, write_results
from fsrf_jax.experiments.start import check_start, describe_frozen, started
from fsrf_jax.experiments.train import (
    Report,
    given_teacher,
    loggers_of,
    train_population,
    train_teacher,
)
from fsrf_jax.files import write_text
from fsrf_jax.reading.text import parse_json, read_text
from fsrf_jax.training import checkpoints, loop
from fsrf_jax.training.journal import open_journal
from fsrf_jax.training.loggers import Loggers, check_packages
from fsrf_jax.training.loop import EpochRecord
from fsrf_jax.training.state import TrainState

LINE_EVERY = 10  # epochs between two lines about a member


def train_members(
    folder: Path, members: Sequence[Member], together: int, say: Callable[[str], None]
) -> None:
    """Train and evaluate every member that has no results yet.

    Members whose configs differ in numbers alone train as one program, some at a time. What trains
    together is written down before it begins, so that an interrupted part is resumed as it was.

    Args:
        folder: the ablation's folder.
        members: all of them.
        together: how many train at a time; 0: as many as are useful and fit the memory. One, where
            the data are not on the device.
        say: is given a line about what happens.

    Raises:
        InterruptedTraining: a signal came; all is saved.
        RunError: a folder holds another experiment, or a loss became NaN or infinite.
    """
    shared = _open(members, say)
    _check_starts(members, shared)
    if shared.source.placed.kind != "device":
        say(f"members train one at a time: {shared.source.placed.reason}")
        together = 1  # each has an order of its own, and so batches of its own
    with run_folder.locked(folder):
        _mend(members, shared)
        for part in _parts(folder, members, together, say):
            _train_part(folder, part, shared)


def probe_members(
    members: Sequence[Member], say: Callable[[str], None]
) -> dict[str, dict[int, dict[str, Any]]]:
    """Probe every trained member that has no probes yet.

    Args:
        members: all of them, trained.
        say: is given a line about what happens.

    Returns:
        What `fsrf_jax.evaluation.probes.probe` gives, by variant and training seed; without those
        that have no codes.
    """
    shared = _open(members, say)
    for member in members:
        path = member.folder / "probes.json"
        with contextlib.suppress(sealed.DamagedFile):
            sealed.read(path, "")
            continue
        run = shared.run(member)
        try:
            write_probes(path, run.probe(*run.load(member.folder)))
        except checkpoints.DamagedCheckpoint as error:
            raise RunError(
                f"{member.folder}: the newest checkpoint is damaged, so that its codes cannot be "
                "probed; its results are whole. Remove its results.json, and the same command "
                "trains it again, to the same numbers."
            ) from error
        except NoCodesError:
            say(f"{name_of(member)}: has no codes to probe")
        else:
            say(f"{name_of(member)}: probed")
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for member in members:
        if (path := member.folder / "probes.json").exists():
            probes = sealed.read(path, "give the same command again")
            found.setdefault(member.variant, {})[member.seed] = probes
    return found


def _open(members: Sequence[Member], say: Callable[[str], None]) -> Shared:
    """Check that the members can be compared, and make what they share."""
    forms = {member.config.task.form for member in members}
    if len(forms) > 1:
        raise ConfigError(f"task.kind: found variants for {sorted(forms)}, expected one.")
    for member in members:
        run_folder.check_same(member.folder, member.config)
        _check_epochs(member)
    first = open_experiment(members[0].config)
    for config in {repr(one.config.method): one.config for one in members}.values():
        given_teacher(Experiment.make(config, first.source, first.protocol))
    normaliser = normalise.fit(first.source.split("train"), members[0].config.data.clip)
    seed = min(member.seed for member in members)
    settings = members[0].config.evaluation
    observe = make_observer(first.source.split(settings.split), settings.mask_seeds)
    return Shared(first.source, first.protocol, normaliser, observe, seed, say)


def _mend(members: Sequence[Member], shared: Shared) -> None:
    """Make anew what is damaged or gone of members that were trained to their end."""
    source = shared.source
    for member in members:
        if not (member.folder / "checkpoints").is_dir():
            continue  # it was not trained, or not evaluated, which comes after its checkpoint
        known = member.config, source.fingerprint, source.shapes
        with run_folder.opened(member.folder, *known, saying([member], shared.say)):
            if _is_done(member):
                continue
            run = shared.run(member)
            try:
                state, normaliser = run.load(member.folder)
            except checkpoints.DamagedCheckpoint:
                # Its place has to be free: a checkpoint that is there is not saved again.
                aside = set_aside_newest(member.folder)
                shared.say(
                    f"{name_of(member)}: a damaged checkpoint is now {aside}; it is trained again."
                )
                continue
            except RunError:
                continue  # it is trained again
            evaluated = run.evaluate(member.folder, state, normaliser, shared.observe)
            write_results(member.folder / "results.json", *evaluated)
            shared.say(f"{name_of(member)}: evaluated")


def _check_starts(members: Sequence[Member], shared: Shared) -> None:
    """What members that have not begun start from, freeze and log to is there."""
    new = [member for member in members if not (member.folder / "config.yaml").exists()]
    if not new:
        return
    check_packages(new[0].config.output.loggers)
    for indices in scheduling.groups(member.config for member in new):
        check_start(shared.run(new[indices[0]]))


def _is_done(member: Member) -> bool:
    return is_evaluated(member.folder)


def _check_epochs(member: Member) -> None:
    """A member that is done was trained for as many epochs as are asked for now."""
    with contextlib.suppress(sealed.DamagedFile):  # `check_same` compared the epochs as well
        if not _is_done(member):
            return
        before = arguments.load_saved(member.folder / "config.yaml").training.epochs
        now = member.config.training.epochs
        if before != now:
            raise RunError(
                f"{member.folder}: was trained for {before} epochs, expected {now}: give "
                f"--training.epochs {before}, or another --output.directory."
            )


def _parts(
    folder: Path, members: Sequence[Member], together: int, say: Callable[[str], None]
) -> Iterator[list[Member]]:
    """What is left to train, in parts that train as one program; begun parts first."""
    by_name = {name_of(member): member for member in members}
    for plan in sorted(folder.glob("parts/*/plan.json")):
        if (names := _planned(plan)) is None:
            say(f"{plan} is damaged: what is left of its members is planned anew.")
        elif set(names) <= set(by_name):
            yield [by_name[name] for name in names]
    left = [member for member in members if not _is_done(member)]
    size = scheduling.members_at_a_time(together)
    for indices in scheduling.groups(member.config for member in left):
        yield from scheduling.chunks([left[i] for i in indices], size)


def _planned(plan: Path) -> list[str] | None:
    """The names in a plan; None if it is not the one that its folder is named after."""
    try:
        text = read_text(plan, RunError)
    except RunError:
        return None
    whole = _part_name(text) == plan.parent.name
    return list(parse_json(text, plan.name, RunError)) if whole else None


def _part_name(plan: str) -> str:
    return hashlib.sha256(plan.encode()).hexdigest()[:12]


def _train_part(folder: Path, members: list[Member], shared: Shared) -> None:
    """Train members as one program; in two halves, if the memory does not hold them."""
    names = json.dumps([name_of(member) for member in members])
    place = folder / "parts" / _part_name(names)
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "plan.json", names)
    try:
        with contextlib.ExitStack() as stack:
            digest = shared.source.fingerprint
            for member in members:
                shapes = shared.source.shapes
                record = run_folder.opened(member.folder, member.config, digest, shapes)
                stack.enter_context(record)()
            _train_and_evaluate(place, members, shared)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise  # what is saved of the part stays, to be resumed
        shutil.rmtree(place)
        if len(members) == 1:
            raise RunError(
                f"{name_of(members[0])}: does not fit the device's memory; lower model.width or "
                "training.batch_size."
            ) from error
        half = len(members) // 2
        message = f"{len(members)} members do not fit the memory: trying {half}"
        shared.say(message)
        for part in (members[:half], members[half:]):
            _train_part(folder, part, shared)
        return
    shutil.rmtree(place)


def _train_and_evaluate(place: Path, members: list[Member], shared: Shared) -> None:
    with contextlib.ExitStack() as stack:
        loggers = [
            stack.enter_context(loggers_of(member.config, member.folder)) for member in members
        ]
        states = _train(place, members, shared, loggers)
        _evaluate(states, members, shared, loggers)


def _evaluate(
    states: TrainState, members: list[Member], shared: Shared, loggers: list[Loggers]
) -> None:
    for index, member in enumerate(members):
        if _is_done(member):
            continue
        run = shared.run(member)
        state = loop.member(states, index)
        alone = sharding.replicate(loop.stack([state]), run.mesh)
        with checkpoints.open_manager(member.folder / "checkpoints") as manager:
            arrays = {"state": alone, "preparation": shared.normaliser.to_tree()}
            checkpoints.save(manager, loop.epochs_done(run.recipe, alone), arrays)
        evaluation, results = run.evaluate(member.folder, state, shared.normaliser, shared.observe)
        write_results(member.folder / "results.json", evaluation, results)
        loggers[index].results(averages_of(results))
        shared.say(f"{name_of(member)}: evaluated")


def _train(
    place: Path, members: list[Member], shared: Shared, loggers: list[Loggers]
) -> TrainState:
    """The trained states of all members."""
    runs = [shared.run(member) for member in members]
    reporting = partial(_reporting, members, runs[0], loggers, shared.say)
    teacher = partial(_teacher, place.parents[1], runs[0], shared)
    folders = [member.folder for member in members]
    start = partial(started, runs[0], folders=folders, say=saying(members, shared.say))
    say = saying(members, shared.say)
    try:
        return train_population(
            runs, shared.normaliser, place, reporting, teacher, start, say, folders
        )[0]
    except checkpoints.DamagedCheckpoint as error:
        if str(place) not in str(error):
            raise
        raise RunError(
            f"{place / 'checkpoints'}: all checkpoints of members that train together are damaged: "
            f"remove {place}, and the same command trains them anew."
        ) from error


def _teacher(folder: Path, run: Experiment, shared: Shared) -> Any:
    """The teacher of a part, trained once in the ablation's folder for all that have the same."""
    training = dataclasses.replace(run.config.training, seed=shared.seed)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, training=training))
    config = teacher_config(run.config, folder)
    if config is None:
        return None
    # What may be stated later, and what changes no result.
    data = dataclasses.replace(config.data, licence="", placement="auto", readers=1)
    named = arguments.to_yaml(dataclasses.replace(config, data=data, output=OutputConfig()))
    name = hashlib.sha256(named.encode()).hexdigest()[:12]
    return train_teacher(run, folder / "teachers" / name, say=lambda x: shared.say(f"teacher: {x}"))


@contextlib.contextmanager
def _reporting(
    members: list[Member],
    run: Experiment,
    loggers: list[Loggers],
    say: Callable[[str], None],
    done: Sequence[int],
) -> Iterator[Report]:
    """A function that writes a member's record to its journal and loggers, and says some of them.

    `run` is the one of the first member.
    """
    config = run.config
    if (line := describe_frozen(run)) is not None:
        saying(members, say)(line)
    with contextlib.ExitStack() as stack:
        journals: list[Any] = [
            stack.enter_context(open_journal(member.folder, epochs, say))
            for member, epochs in zip(members, done, strict=True)
        ]
        for one, epochs in zip(loggers, done, strict=True):
            one.open(epochs)

        def report(index: int, record: EpochRecord) -> None:
            journals[index](record)
            loggers[index].log(record)
            last = record.epoch == config.training.epochs
            if config.output.progress and (last or record.epoch % LINE_EVERY == 0):
                say(
                    f"{name_of(members[index])}: epoch {record.epoch}/{config.training.epochs}  "
                    f"validation error {record.validation_error:.4f} "
                    f"(best after epoch {record.best_epoch})"
                )

        yield report

"""How a run starts: `training.init_from` and `training.freeze`."""

import dataclasses
import shutil
from typing import NamedTuple

import jax
import numpy as np
import pytest
from command_case import TINY, read_json

from fsrf_jax import arguments
from fsrf_jax.errors import ConfigError, RunError
from fsrf_jax.experiments import start
from fsrf_jax.experiments.experiment import Experiment, open_experiment
from fsrf_jax.training import checkpoints
from fsrf_jax.training.frozen import named_leaves


def parse(*argv):
    argv = (*TINY, *map(str, argv))
    return arguments.parse(arguments.make_parser("train", "", argv), argv)[0]


class Old(NamedTuple):
    """The run that others start from: its folder and its state."""

    folder: object
    state: object

    @property
    def taken(self):
        """Its best parameters are not its last ones."""
        return {"inference": self.state.best, "training": self.state.parameters["training"]}


@pytest.fixture(scope="module")
def old(trained, tmp_path_factory):
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("old") / "run")
    run = open_experiment(arguments.load(folder / "config.yaml"))
    with checkpoints.open_manager(folder / "checkpoints") as manager:
        states, normaliser = run.restore(manager)
        states = states.replace(best=jax.tree.map(lambda x: x + 1, states.best))
        arrays = {"state": states, "preparation": normaliser.to_tree()}
        checkpoints.save(manager, 3, arrays)
    return Old(folder, jax.tree.map(lambda x: x[0], states))


def begin(tmp_path, old, *argv, seeds=(5,)):
    """States that a run begins with, what it drew, init.json, and the lines about it."""
    run = open_experiment(parse("--training.init_from", old.folder, *argv))
    start.check_start(run)
    drawn, lines = run.initial_states(seeds), []
    folders = [tmp_path / str(seed) for seed in seeds]
    for folder in folders:
        folder.mkdir()
    states = start.started(run, drawn, folders, lines.append)
    found = [read_json(folder / "init.json") for folder in folders]
    assert all(one == found[0] for one in found)
    return states, drawn, found[0], lines


def same(one, other):
    pairs = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_everything_that_fits_is_taken_by_every_member(old, tmp_path):
    states, drawn, found, lines = begin(tmp_path, old, seeds=(5, 6))
    for index in (0, 1):
        own = jax.tree.map(lambda x, i=index: x[i], states)
        assert same(own.parameters, old.taken)
        assert same(own.average, old.state.best)
        assert same(own.best, old.state.best)
    assert np.isinf(states.best_score).all()
    assert states.best_epoch.tolist() == states.step.tolist() == [0, 0]
    assert (states.key == drawn.key).all()
    assert same(states.optimizer, drawn.optimizer)
    total = sum(x.size for x in jax.tree.leaves(old.taken))
    assert found == {
        "run": str(old.folder),
        "best_epoch": 2,
        "taken": total,
        "parameters": total,
        "drawn_anew": [],
    }
    assert lines == [
        f"starts from {old.folder}, epoch 2: took {total:,} of {total:,} parameters; drawn anew: "
        "nothing"
    ]


WIDE = ("--data.synthetic.widths", "[32,16,9]")
CLASSES = ("--task.kind", "cross_entropy", "--data.cuts", "[-0.5,0.5]")
DUO = (
    *("--data.modalities", "[language,vision]", "--data.synthetic.widths", "[32,20]"),
    *("--data.synthetic.private", "[1,1]", "--data.synthetic.irrelevant", "[2,2]"),
    *("--data.synthetic.transient", "[2,2]", "--data.synthetic.private_shares", "[0.3,0.185]"),
    *("--data.synthetic.frame_noise", "[1.2,1.1]"),
)


@pytest.mark.parametrize(
    ("argv", "anew", "taken"),
    [
        (CLASSES, {"inference.head", "training.adversary", "training.heterogeneous"}, "encoders"),
        (WIDE, {"inference.encoders.vision.frames", "training.decoder_vision"}, "fusion"),
        (("--method.name", "late_fusion"), {"inference.heads"}, "encoders.vision"),
        (("--method.name", "corrkd"), {"training", "inference.fusion.missing"}, "head"),
    ],
)
def test_another_task_other_features_and_another_method(old, tmp_path, argv, anew, taken):
    states, drawn, found, lines = begin(tmp_path, old, *argv)
    there, here, before = map(named_leaves, (old.taken, states.parameters, drawn.parameters))
    names = set(found["drawn_anew"])
    count = 0
    for name, leaf in here.items():
        if name in names:
            np.testing.assert_array_equal(leaf, before[name])
            assert name not in there or there[name].shape != leaf.shape[1:]
        else:
            np.testing.assert_array_equal(leaf[0], there[name], err_msg=name)
            count += leaf.size
    assert (found["taken"], found["parameters"]) == (count, sum(x.size for x in here.values()))
    assert any(name.startswith(f"inference.{taken}") for name in set(here) - names)
    for group in anew:
        assert any(name.startswith(group) for name in names), (group, names)
    (line,) = lines
    assert f"took {count:,} of " in line
    assert same(states.average, states.parameters["inference"])
    assert same(states.best, states.parameters["inference"])


def test_other_modalities_keep_what_is_their_own(old, tmp_path):
    """What is stacked by modality is audio, language, vision there; language, vision here."""
    states, _, found, _ = begin(tmp_path, old, *DUO)
    there, here = old.state.best, jax.tree.map(lambda x: x[0], states.parameters["inference"])
    for kind in ("heterogeneous", "noise"):
        for name, leaf in named_leaves(here["factorizer"][kind]).items():
            np.testing.assert_array_equal(leaf, named_leaves(there["factorizer"][kind])[name][1:])
    np.testing.assert_array_equal(here["fusion"]["missing"], there["fusion"]["missing"][2:])
    assert same(here["encoders"]["vision"], there["encoders"]["vision"])
    assert found["drawn_anew"] == []


def test_more_modalities_are_drawn_anew_where_they_are_new(old, tmp_path):
    names = "[language,audio,smell]"
    states, drawn, found, _ = begin(tmp_path, old, "--data.modalities", names)
    stacked = ("factorizer", "noise", "Dense_0", "bias")
    new, fresh, there = (
        dict(named_leaves(tree))[".".join(stacked)]
        for tree in (
            jax.tree.map(lambda x: x[0], states.parameters["inference"]),
            jax.tree.map(lambda x: x[0], drawn.parameters["inference"]),
            old.state.best,
        )
    )
    np.testing.assert_array_equal(new[:2], there[:2])  # audio, language
    np.testing.assert_array_equal(new[2], fresh[2])
    assert "inference.factorizer.noise.Dense_0.bias (smell)" in found["drawn_anew"]
    assert any("encoders.smell" in name for name in found["drawn_anew"])


def test_without_it_nothing_happens(tmp_path):
    run = open_experiment(parse())
    start.check_start(run)
    states = run.initial_states([0])
    assert start.started(run, states, [tmp_path]) is states
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "copy")


def refusal(trained, folder, *argv):
    run = open_experiment(parse("--training.init_from", folder, *argv))
    with pytest.raises(RunError, match=r"^training\.init_from: ") as caught:
        start.check_start(run)
    return str(caught.value)


def test_a_run_that_there_is_not(trained, copied, tmp_path):
    assert "found no run folder" in refusal(trained, tmp_path / "nothing")
    shutil.rmtree(copied / "checkpoints")
    assert "found no checkpoints; train the run first" in refusal(trained, copied)
    (copied / "checkpoints").mkdir()
    assert "found no checkpoint; train the run first" in refusal(trained, copied)
    (copied / "shapes.json").unlink()
    assert "has no shapes.json" in refusal(trained, copied)


def test_nothing_that_fits(trained):
    found = refusal(trained, trained.folder, "--model.width", "12", "--method.name", "late_fusion")
    assert "nothing of " in found
    assert "fits by name and shape" in found


def test_another_fold_of_the_same_data_is_refused(trained, copied):
    """The run has trained on samples that are tested here."""
    argv = ("--data.pooled", "[train,valid,test]", "--data.allow_pooled_test", "true")
    folds = ("--data.folds", "3", *argv)
    assert "dealt otherwise (data.folds 0 there, 3 here" in refusal(trained, copied, *folds)
    other = dataclasses.replace(parse(*folds), output=parse().output)
    (copied / "config.yaml").write_text(arguments.to_yaml(other))
    found = refusal(trained, copied, *folds, "--data.fold", "1")
    assert "(data.fold 0 there, 1 here)" in found
    start.check_unseen(parse(*folds, "--training.init_from", copied))
    start.check_unseen(
        parse(*folds, "--data.fold=1", "--data.synthetic.seed=9", "--training.init_from", copied)
    )


def test_frozen_groups_are_counted(trained):
    run = open_experiment(parse("--training.freeze", "[encoders.audio]"))
    shapes = run.initial_states([0]).parameters
    audio = sum(x.size for x in jax.tree.leaves(shapes["inference"]["encoders"]["audio"]))
    total = sum(x.size for x in jax.tree.leaves(shapes))
    line = f"frozen: {audio:,} of {total:,} parameters: encoders.audio"
    assert start.describe_frozen(run) == line
    usual = Experiment.make(parse(), run.source, run.protocol)
    assert start.describe_frozen(usual) is None
    wrong = Experiment.make(parse("--training.freeze=[encoder]"), run.source, run.protocol)
    with pytest.raises(ConfigError, match=r"^training\.freeze: found 'encoder', .*encoders, fact"):
        start.check_start(wrong)

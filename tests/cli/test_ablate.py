"""The command `ablate` itself; what it trains is tested in tests/experiments and end_to_end."""

import pytest
from command_case import TINY, call, refused

from fsrf_jax.cli import ablate
from fsrf_jax.cli.several import without
from fsrf_jax.errors import InterruptedTraining
from fsrf_jax.experiments.members import Member

OWN = ("--ablation", "x.yaml", "--seeds=3", "--together", "2", "--probes")


def test_variants_are_made_from_all_arguments_but_its_own():
    argv = ["--training.epochs", "2", *OWN, "--config=a.yaml", "--method.weights.noise=1"]
    assert without(argv, ablate.OWN, ("--probes",)) == [
        *("--training.epochs", "2", "--config=a.yaml", "--method.weights.noise=1"),
    ]
    assert without(["--ablation=x.yaml", "--seeds", "3"], ablate.OWN) == []


def test_help_names_its_options_in_one_line_of_usage():
    first = call("ablate", "--help").out.splitlines()[0]
    assert first == (
        "usage: ablate [--config FILE ...] [--SECTION.OPTION VALUE ...] "
        "--ablation FILE [--seeds N] [--together N] [--probes]"
    )


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text("variants: {full: {}, less: {method.weights.noise: 0}}")
    return path


def test_members_are_every_variant_with_every_seed(file, tmp_path, monkeypatch):
    given = []

    def train(folder, members, together, say):
        given.append((folder, members, together))
        say("a line")
        raise InterruptedTraining(15, 3)

    monkeypatch.setattr(ablate, "train_members", train)
    argv = (*TINY, "--ablation", file, "--seeds", "2", "--together", "5", "--training.seed", "7")
    done = call("ablate", *argv, "--output.directory", tmp_path / "out")
    ((folder, members, together),) = given
    assert (folder, together) == (tmp_path / "out", 5)
    assert [(member.variant, member.seed) for member in members] == [
        *(("full", 7), ("full", 8), ("less", 7), ("less", 8)),
    ]
    for member in members:
        assert isinstance(member, Member)
        place = folder / "members" / member.variant / f"seed-{member.seed}"
        assert member.folder == place
        assert member.config.training.seed == member.seed
        assert member.config.output.directory == str(place)
        assert member.config.training.epochs == 2
        assert member.config.method.weights.noise == (0 if member.variant == "less" else 0.03)
    assert done.status == 143
    assert done.out.splitlines() == [
        "a line",
        f"stopped by SIGTERM after epoch 3; go on with --output.directory {tmp_path / 'out'}",
    ]
    call("ablate", *argv)
    assert given[1][0].parent.name == "runs"
    assert given[1][0].name.startswith("defaults-mine-")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("--seeds", "0"), "--seeds: found 0, expected at least 1."),
        (("--together", "-1"), "--together: found -1, expected at least 0."),
        (("--seeds", "many"), "seeds"),
    ],
)
def test_mistaken_options_are_refused(file, tmp_path, argv, part):
    refused(call("ablate", *TINY, "--ablation", file, *argv), 2, part)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_the_file_is_required():
    refused(call("ablate", *TINY), 2, "ablation")

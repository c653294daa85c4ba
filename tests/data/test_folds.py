import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.data.folds import carve_valid, deal, fold_split
from fsrf_jax.errors import DataError


def split(name, n, frames=1):
    number = float(sum(map(ord, name)))
    audio = np.broadcast_to(number + np.arange(n, dtype=np.float32)[:, None, None], (n, frames, 2))
    ids = np.array([f"{name}/{i}" for i in range(n)])
    return Split(ids, {"audio": audio}, {"audio": np.ones((n, frames), bool)}, audio[:, 0, 0])


def dataset(train=4, valid=5, test=7):
    return Dataset(
        {"train": split("train", train, 2), "valid": split("valid", valid, 3),
         "test": split("test", test)},
        ("a note",),
    )  # fmt: skip


POOLED = ("valid", "test")


@given(
    folds=st.integers(2, 10),
    fold=st.integers(0, 9),
    seed=st.integers(0, 2**32),
    n=st.integers(5, 9),
)
def test_folds_partition_the_samples(folds, fold, seed, n):
    fold %= folds
    data = dataset(test=n)
    made = fold_split(data, folds=folds, fold=fold, pooled=POOLED, seed=seed)
    assert list(made.splits) == ["train", "valid", "test"]
    ids = [set(part.ids.tolist()) for part in made.splits.values()]
    everything = [i for part in data.splits.values() for i in part.ids.tolist()]
    assert sum(map(len, ids)) == len(everything)
    assert set.union(*ids) == set(everything)
    assert set(data.splits["train"].ids.tolist()) <= ids[0]
    sizes = (5 + n) // folds, -(-(5 + n) // folds)
    assert len(ids[1]) in sizes
    assert len(ids[2]) in sizes
    for part in made.splits.values():  # every id still has its own label and features
        own = {i: y for s in data.splits.values() for i, y in zip(s.ids, s.labels, strict=True)}
        assert [own[i] for i in part.ids] == part.labels.tolist()
        assert part.features["audio"][:, 0, 0].tolist() == part.labels.tolist()


def test_labels_of_tasks_are_dealt_with_their_samples():
    data = dataset()
    splits = {
        name: dataclasses.replace(part, labels=np.stack([part.labels, -part.labels], axis=1))
        for name, part in data.splits.items()
    }
    made = fold_split(Dataset(splits), folds=3, fold=1, pooled=POOLED, seed=0)
    for part in made.splits.values():
        number = part.features["audio"][:, 0, 0]
        np.testing.assert_array_equal(part.labels, np.stack([number, -number], axis=1))


def test_test_folds_cover_every_pooled_sample_once():
    made = [fold_split(dataset(), folds=4, fold=k, pooled=POOLED, seed=3) for k in range(4)]
    tests = [i for each in made for i in each.splits["test"].ids.tolist()]
    assert len(tests) == len(set(tests)) == 12
    for k in range(4):
        following = made[(k + 1) % 4].splits["test"].ids.tolist()
        assert made[k].splits["valid"].ids.tolist() == following


def test_the_seed_alone_decides():
    one, same, other = (
        fold_split(dataset(), folds=3, fold=0, pooled=POOLED, seed=seed).splits["test"].ids.tolist()
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_sequences_are_padded_at_the_end_to_one_length():
    made = fold_split(dataset(), folds=3, fold=1, pooled=POOLED, seed=0)
    for part in made.splits.values():
        assert part.features["audio"].shape[1:] == (3, 2)
        for i, x, v in zip(part.ids, part.features["audio"], part.valid["audio"], strict=True):
            frames = {"train": 2, "valid": 3, "test": 1}[i.split("/")[0]]
            assert v.tolist() == [True] * frames + [False] * (3 - frames)
            assert x[:frames].all()
            assert not x[frames:].any()
    assert made.notes == (
        "a note",
        "fold 1 of 3 over valid, test (seed 0): train 8, valid 4, test 4",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 3}, "fold 3 of 3; expected"),
        ({"fold": -1}, "fold -1 of 3"),
        ({"folds": 1, "fold": 0}, "2 folds or more"),
        ({"folds": 13}, "have 12 samples, too few for 13 folds"),
        ({"pooled": ("valid", "tset")}, "no split 'tset' to pool; found .*did you mean 'test'"),
        ({"pooled": ()}, "one or more different names"),
        ({"pooled": ("test", "test")}, "one or more different names"),
        ({"pooled": ("train", *POOLED), "folds": 2, "fold": 0}, "nothing is left to train on"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(DataError, match=message):
        fold_split(dataset(), **{"folds": 3, "fold": 0, "pooled": POOLED, "seed": 0, **changes})


def test_an_id_in_two_splits_is_an_error():
    twice = Dataset({"train": split("a", 3), "test": split("a", 2), "valid": split("v", 3)})
    with pytest.raises(DataError, match=r"2 ids occur in more than one split \(first: 'a/0'\)"):
        fold_split(twice, folds=2, fold=0, pooled=POOLED, seed=0)


def test_groups_go_with_their_samples():
    named = {}
    for name in POOLED:
        made = split(name, 6)
        named[name] = dataclasses.replace(made, groups=np.char.add("g", made.ids))
    dealt = fold_split(Dataset(named), folds=3, fold=0, pooled=POOLED, seed=0)
    for part in dealt.splits.values():
        assert part.groups.tolist() == [f"g{i}" for i in part.ids]
    some = {**named, "train": split("t", 3)}
    dealt = fold_split(Dataset(some), folds=3, fold=0, pooled=POOLED, seed=0)
    assert all(part.groups is None for part in dealt.splits.values())


def grouped(n=300, groups=40, seed=0):
    """Groups of unequal size, whose members have similar labels."""
    rng = np.random.default_rng(seed)
    group_n = np.sort(rng.choice(groups, n, p=rng.dirichlet(np.full(groups, 2.0))))
    part = split("all", n)
    labels = (rng.normal(size=groups)[group_n] + rng.normal(size=n)).astype(np.float32)
    names = np.array([f"person {g}" for g in group_n])
    return dataclasses.replace(part, labels=labels, groups=names)


def shares_of(part_n, labels, parts):
    """Share of the samples, and of each label tercile, in each part."""
    tercile_n = np.searchsorted(np.quantile(labels, (1 / 3, 2 / 3)), labels)
    counts = np.array(
        [[((part_n == p) & (tercile_n == t)).sum() for t in range(3)] for p in range(parts)]
    )
    return counts.sum(axis=1) / counts.sum(), counts / counts.sum(axis=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shares", [[0.2] * 5, [0.9, 0.1], [0.5, 0.3, 0.2]])
def test_groups_stay_whole_and_parts_have_their_shares(shares, seed):
    samples = grouped(seed=seed)
    part_n = deal(samples, shares, seed)
    for name in set(samples.groups):
        assert len(set(part_n[samples.groups == name])) == 1
    sizes, of_terciles = shares_of(part_n, samples.labels, len(shares))
    np.testing.assert_allclose(sizes, shares, atol=0.02)
    np.testing.assert_allclose(of_terciles, np.array(shares)[:, None] * np.ones(3), atol=0.06)
    np.testing.assert_array_equal(deal(samples, shares, seed), part_n)
    assert (deal(samples, shares, seed + 1) != part_n).any()


def test_what_is_dealt_does_not_depend_on_the_order_of_the_samples():
    samples = grouped()
    order = np.random.default_rng(1).permutation(len(samples))
    np.testing.assert_array_equal(
        deal(samples.take(order), [0.2] * 5, 3), deal(samples, [0.2] * 5, 3)[order]
    )


def test_folds_keep_groups_whole_and_leave_out_training_samples_of_a_held_group():
    everything = grouped()
    extra = dataclasses.replace(split("train", 6), groups=np.array(["person 3"] * 3 + ["new"] * 3))
    half = np.arange(300) % 2 == 0
    data = Dataset({"train": extra, "valid": everything.take(half), "test": everything.take(~half)})
    left_out = 0
    tested = []
    for fold in range(5):
        made = fold_split(data, folds=5, fold=fold, pooled=POOLED, seed=0)
        groups = {name: set(part.groups) for name, part in made.splits.items()}
        assert not groups["train"] & groups["valid"]
        assert not groups["train"] & groups["test"]
        assert not groups["valid"] & groups["test"]
        assert "new" in groups["train"]
        lost = 306 - sum(map(len, made.splits.values()))
        assert (f"{lost} training samples are left out" in made.notes[-1]) == (lost > 0)
        left_out += lost
        tested += made.splits["test"].ids.tolist()
    assert sorted(tested) == sorted(everything.ids)
    assert left_out == 6  # the three of person 3, in the folds that test or select on person 3


@pytest.mark.parametrize("with_groups", [True, False])
def test_a_validation_split_is_carved_out_of_the_training_split(with_groups):
    samples = grouped()
    samples = samples if with_groups else dataclasses.replace(samples, groups=None)
    made = carve_valid(Dataset({"train": samples, "test": split("test", 4)}), 0.1, 7)
    assert list(made.splits) == ["train", "valid", "test"]
    train, valid = made.splits["train"], made.splits["valid"]
    assert sorted([*train.ids, *valid.ids]) == sorted(samples.ids)
    assert len(valid) == pytest.approx(30, abs=3)
    if with_groups:
        assert not set(train.groups) & set(valid.groups)
    assert "valid is a share of train, 0.1 (seed 7): train 2" in made.notes[-1]


def test_no_validation_split_is_carved_where_one_is_or_nothing_can_be_parted():
    with pytest.raises(
        DataError, match=r"valid_share is 0.1.*found train, valid, test: set it to 0"
    ):
        carve_valid(dataset(), 0.1, 0)
    with pytest.raises(DataError, match="leaves a split empty"):
        carve_valid(Dataset({"train": split("train", 1)}), 0.1, 0)
    one = dataclasses.replace(split("train", 9), groups=np.array(["a"] * 9))
    with pytest.raises(DataError, match="leaves a split empty"):
        carve_valid(Dataset({"train": one}), 0.5, 0)

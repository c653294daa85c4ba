"""Labels of the three forms: cut, checked, counted."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from fsrf_jax.data import labels
from fsrf_jax.data.dataset import Dataset, Split
from fsrf_jax.errors import ConfigError, DataError

CUTS = (-1.0, 0.0, 2.5)


def split(y):
    y = np.asarray(y, np.float32)
    return Split(np.array([f"i{row}" for row in range(len(y))]), {}, {}, y)


def dataset(**splits):
    return Dataset({name: split(y) for name, y in splits.items()}, ("a note",))


def found(made, name="train"):
    y = made.splits[name].labels
    assert y.dtype == np.float32
    return y.tolist()


def test_a_class_is_the_number_of_cuts_exceeded():
    y = np.array([-1.5, -1, -0.5, 0, 0.1, 2.5, 9])
    made = labels.to_form(dataset(train=y, test=y[:2]), "class", CUTS)
    assert found(made) == [0, 0, 1, 1, 2, 2, 3]
    np.testing.assert_array_equal(np.digitize(y, CUTS, right=True), found(made))
    assert found(made, "test") == [0, 0]
    assert made.notes == ("a note",)
    assert labels.outputs(made, "class", CUTS) == 4


def test_a_task_asks_whether_a_cut_is_exceeded():
    made = labels.to_form(dataset(train=[-1, 0.1, 9]), "binary", CUTS)
    assert found(made) == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert labels.outputs(made, "binary", CUTS) == 3


@pytest.mark.parametrize("cut", [0.1, 0.7, 1 / 3, 1.4])
def test_a_label_at_a_cut_does_not_exceed_it(cut):
    """Labels are float32: 0.1 as such is more than the number 0.1."""
    assert found(labels.to_form(dataset(train=[cut]), "class", (cut,))) == [0]
    assert found(labels.to_form(dataset(train=[cut]), "binary", (cut,))) == [[0]]


def test_without_cuts_labels_stay_as_they_are():
    numbers, classes = dataset(train=[-0.5, 2]), dataset(train=[0, 2], test=[4, 1])
    assert found(labels.to_form(numbers, "number")) == [-0.5, 2]
    assert labels.outputs(numbers, "number") == 1
    assert found(labels.to_form(classes, "class")) == [0, 2]
    assert labels.outputs(classes, "class") == 5
    tasks = dataset(train=[[0, 1, 1], [1, 0, 0]])
    assert found(labels.to_form(tasks, "binary")) == [[0, 1, 1], [1, 0, 0]]
    assert labels.outputs(tasks, "binary") == 3


def test_one_task_may_be_a_vector():
    made = labels.to_form(dataset(train=[0, 1, 1]), "binary")
    assert found(made) == [[0], [1], [1]]
    assert labels.outputs(made, "binary") == 1


def test_there_are_at_least_two_classes():
    assert labels.outputs(dataset(train=[0, 0]), "class") == 2


@pytest.mark.parametrize(
    ("y", "form", "cuts", "message"),
    [
        ([0, 1.5, -2], "class", (), r"'test': 2 of 3 labels .*first: 1.5 of 'i1'.*data\.cuts"),
        ([0, 1, 1000], "class", (), "1 of 3 labels .*whole and from 0 to 999"),
        ([0, 2, 1], "binary", (), r"1 of 3 labels .*first: 2.0 of 'i1'.*expected 0 or 1"),
        ([[0, 1], [0.5, 1]], "binary", (), "1 of 2 labels"),
        ([[0, 1], [1, 1]], "number", (), r"labels have shape \(2, 2\).*binary_cross_entropy"),
        ([[0, 1], [1, 1]], "class", (), r"labels have shape \(2, 2\).*binary_cross_entropy"),
        ([[0, 1], [1, 1]], "class", CUTS, r"labels have shape \(2, 2\).*data\.cuts empty"),
        ([[0, 1], [1, 1]], "binary", CUTS, r"labels have shape \(2, 2\).*data\.cuts empty"),
    ],
)
def test_labels_of_another_form_are_an_error(y, form, cuts, message):
    with pytest.raises(DataError, match=message):
        labels.to_form(dataset(test=y), form, cuts)


@pytest.mark.parametrize("cuts", [(1, 0), (0, 0), (np.nan,), (0, np.inf), (1e300,), (1, 1 + 1e-12)])
def test_cuts_must_increase_and_be_finite(cuts):
    for form in ("class", "binary"):
        with pytest.raises(ConfigError, match=r"data\.cuts: found .*increasing finite numbers"):
            labels.check_cuts(cuts, form)


def test_numbers_are_not_cut():
    with pytest.raises(ConfigError, match=r"data\.cuts: found \[0\.0\], expected nothing"):
        labels.check_cuts((0.0,), "number")
    for form in labels.FORMS:
        labels.check_cuts((), form)


def test_a_gaussian_is_cut_by_its_distribution_function():
    """Against SciPy, far tails included."""
    mean, variance = np.array([0.0, 0.3, -2.0, 40.0]), np.array([1.0, 0.25, 4.0, 1.0])
    law = stats.norm(mean[:, None], np.sqrt(variance)[:, None])
    cuts = np.array(CUTS)[None]
    tasks = labels.cut_gaussian(mean, variance, CUTS, "binary")
    np.testing.assert_allclose(tasks, law.sf(cuts), rtol=1e-12)
    classes = labels.cut_gaussian(mean, variance, CUTS, "class")
    below = np.pad(law.cdf(cuts), [(0, 0), (1, 0)])
    above = np.pad(law.cdf(cuts), [(0, 0), (0, 1)], constant_values=1)
    np.testing.assert_allclose(classes, above - below, atol=1e-15)
    np.testing.assert_allclose(classes.sum(axis=1), 1, rtol=1e-12)
    assert classes.shape == (4, 4)
    assert (classes >= 0).all()


def test_a_gaussian_and_its_draws_are_cut_alike():
    rng, draws = np.random.default_rng(0), 200_000
    y = 0.4 + 1.3 * rng.standard_normal(draws)
    law = np.array([0.4]), np.array([1.3**2])
    shares = np.bincount(labels.cut_labels(y, CUTS, "class").astype(int), minlength=4) / draws
    np.testing.assert_allclose(labels.cut_gaussian(*law, CUTS, "class")[0], shares, atol=5e-3)
    shares = labels.cut_labels(y, CUTS, "binary").mean(axis=0)
    np.testing.assert_allclose(labels.cut_gaussian(*law, CUTS, "binary")[0], shares, atol=5e-3)


def test_no_gaussians_give_no_rows():
    for form, width in (("class", 4), ("binary", 3)):
        assert labels.cut_gaussian(np.zeros(0), np.ones(0), CUTS, form).shape == (0, width)


MOSEI = np.array([[-3, 0, 0.3], [1, 0.6, 0]], np.float32)  # sentiment and two emotions


def test_a_column_is_chosen():
    several = dataset(train=MOSEI, test=MOSEI)
    assert found(labels.choose_columns(several, 0), "test") == [-3, 1]
    assert found(labels.choose_columns(several, (2,))) == MOSEI[:, [2]].tolist()
    emotions = labels.choose_columns(several, (1, 2))
    assert found(labels.to_form(emotions, "binary", (0.0,))) == [[0, 1], [1, 0]]
    assert labels.choose_columns(several, None) is several


@pytest.mark.parametrize(("y", "column"), [([1, 2], 0), (MOSEI, 3), (MOSEI, (0, 5))])
def test_a_column_that_is_not_there(y, column):
    with pytest.raises(DataError, match=r"expected \[n, columns\] with the columns .*label_column"):
        labels.choose_columns(dataset(train=y), column)


def test_columns_of_numbers_say_how_to_choose_one():
    with pytest.raises(DataError, match=r"choose one of the columns by data\.label_column"):
        labels.to_form(dataset(train=MOSEI), "number")


def test_one_hot_labels_are_classes():
    made = labels.to_form(dataset(train=[[0, 0, 1], [1, 0, 0]], test=[[0, 1, 0]]), "class")
    assert (found(made), found(made, "test")) == ([2, 0], [1])
    assert made.notes == ("a note", "labels are one-hot: classes 0 to 2")
    # As tasks they stay what they are.
    assert found(labels.to_form(dataset(train=[[0, 1]]), "binary")) == [[0, 1]]
    # One row with two ones: tasks.
    with pytest.raises(DataError, match=r"choose task.kind binary_cross_entropy"):
        labels.to_form(dataset(train=[[0, 1], [1, 0]], test=[[1, 1]]), "class")


def test_classes_from_one_begin_at_zero():
    made = labels.to_form(dataset(train=[1, 3, 2], test=[4, 4]), "class")
    assert (found(made), found(made, "test")) == ([0, 2, 1], [3, 3])
    assert made.classes == ("1", "2", "3", "4")
    assert labels.outputs(made, "class") == 4
    assert "labels are 1 to 4: classes 0 to 3, with the former numbers as names" in made.notes
    # With a gap nobody can tell what is meant; as numbers they stay.
    assert found(labels.to_form(dataset(train=[1, 3]), "class")) == [1, 3]
    assert found(labels.to_form(dataset(train=[1, 2]), "number")) == [1, 2]


@pytest.mark.parametrize(
    ("form", "cuts", "message"),
    [
        ("number", (), r"names of classes \(no, yes\); .*choose task\.kind cross_entropy"),
        ("class", (0.5,), r"names of classes \(no, yes\); .*leave data\.cuts empty"),
    ],
)
def test_names_are_no_numbers(form, cuts, message):
    named = dataclasses.replace(dataset(train=[0, 1]), classes=("no", "yes"))
    with pytest.raises(DataError, match=message):
        labels.to_form(named, form, cuts)
    assert found(labels.to_form(named, "class")) == [0, 1]
    assert found(labels.to_form(named, "binary")) == [[0], [1]]


def test_a_class_that_does_not_occur_has_its_output():
    named = dataclasses.replace(dataset(train=[0, 1]), classes=("a", "b", "c"))
    assert labels.outputs(labels.to_form(named, "class"), "class") == 3


def test_classes_are_counted():
    y = np.array([0, 2, 2, 0, 0], np.float32)
    assert labels.counts(y, "class", 4) == ((3, 0, 2, 0),)
    tasks = np.array([[0, 1], [1, 1], [0, 1]], np.float32)
    assert labels.counts(tasks, "binary", 2) == ((2, 1), (0, 3))
    assert labels.counts(y, "number", 1) == ()

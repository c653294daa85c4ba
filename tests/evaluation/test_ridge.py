"""Ridge regression: against its closed form, with entries that lack, and how strong it is."""

import numpy as np
import pytest

from fsrf_jax.evaluation import ridge
from fsrf_jax.evaluation.metrics.families import FAMILIES
from fsrf_jax.evaluation.ridge import LEAST, STRENGTHS


def drawn(n=60, f=5, form="number", seed=0):
    """Columns, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x_nf = rng.normal(1.0, 2.0, size=(n, f))
    z_n = x_nf @ np.random.default_rng(99).normal(size=f) + rng.normal(size=n)
    if form == "number":
        return x_nf, z_n.astype(np.float32)
    ends = np.quantile(z_n, [0.3, 0.7])
    if form == "class":
        return x_nf, np.digitize(z_n, ends).astype(np.float32)
    return x_nf, (z_n[:, None] > ends).astype(np.float32)


OUTPUTS = {"number": 1, "class": 3, "binary": 2}


def closed_form(x_nf, y_no, strength):
    """Weights and intercept in float64, the intercept without penalty."""
    mean_f, mean_o = x_nf.mean(axis=0), y_no.mean(axis=0)
    c_nf = x_nf - mean_f
    weights_fo = np.linalg.solve(
        c_nf.T @ c_nf + strength * np.eye(x_nf.shape[1]), c_nf.T @ (y_no - mean_o)
    )
    return weights_fo, mean_o - mean_f @ weights_fo


@pytest.mark.parametrize("form", OUTPUTS)
@pytest.mark.parametrize(("n", "f"), [(60, 5), (12, 30), (2, 1)])
def test_the_fit_is_the_closed_form_of_its_strength(form, n, f):
    train, valid = drawn(n, f, form), drawn(40, f, form, seed=1)
    fitted = ridge.fit(train, valid, form, OUTPUTS[form])
    targets_no = ridge.indicators(train[1], form, OUTPUTS[form])
    weights_fo, intercept_o = closed_form(train[0], targets_no, fitted.strength)
    np.testing.assert_allclose(fitted.weights_fo, weights_fo, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(fitted.intercept_o, intercept_o, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("form", OUTPUTS)
def test_the_strength_has_the_lowest_validation_error_of_all(form):
    train, valid = drawn(30, 20, form), drawn(50, 20, form, seed=1)
    fitted = ridge.fit(train, valid, form, OUTPUTS[form])
    errors = []
    for strength in STRENGTHS:
        targets_no = ridge.indicators(train[1], form, OUTPUTS[form])
        weights_fo, intercept_o = closed_form(train[0], targets_no, strength)
        found = ridge.answers(valid[0] @ weights_fo + intercept_o, form)
        errors.append(ridge.error(found, valid[1], form))
    best = max(s for s, e in zip(STRENGTHS, errors, strict=True) if e == min(errors))
    assert fitted.strength == best
    assert len(set(errors)) > 1


def test_the_strength_follows_the_validation_split_alone():
    train = drawn(30, 20)
    # Samples that it was fitted to, and samples whose columns say nothing.
    known, constant = train, (drawn(30, 20, seed=2)[0], np.full(30, train[1].mean()))
    assert ridge.fit(train, known, "number", 1).strength == STRENGTHS[0]
    assert ridge.fit(train, constant, "number", 1).strength == STRENGTHS[-1]


def test_strengths_are_half_decades_from_10_to_100_000():
    assert len(STRENGTHS) == 9
    np.testing.assert_allclose(np.diff(np.log10(STRENGTHS)), 0.5)
    assert (STRENGTHS[0], STRENGTHS[-1]) == pytest.approx((1e1, 1e5))


def test_errors_by_hand():
    assert ridge.error(np.array([1.0, -1.0]), np.array([0.0, 1.0]), "number") == 1.5
    p_nc = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    assert ridge.error(p_nc, np.array([0.0, 1.0, 1.0]), "class") == pytest.approx(1 / 3)
    assert ridge.error(p_nc, np.array([[1, 0], [1, 1], [1, 1]]), "binary") == pytest.approx(1 / 3)


def test_an_entry_that_lacks_is_the_mean_of_those_in_training():
    nan = np.nan
    x_nf = np.array([[1.0, nan], [3.0, 10.0], [nan, 20.0], [5.0, nan]])
    y_n = np.array([1.0, 2.0, 3.0, 4.0])
    fitted = ridge.fit((x_nf, y_n), (x_nf, y_n), "number", 1)
    np.testing.assert_allclose(fitted.fill_f, [3.0, 15.0])
    whole_nf = np.array([[1.0, 15.0], [3.0, 10.0], [3.0, 20.0], [5.0, 15.0]])
    weights_fo, intercept_o = closed_form(whole_nf, y_n[:, None], fitted.strength)
    expected = (np.array([[3.0, 12.0], [7.0, 15.0]]) @ weights_fo + intercept_o)[:, 0]
    np.testing.assert_allclose(fitted(np.array([[nan, 12.0], [7.0, nan]])), expected)
    # Where nothing is there, what is predicted is what the mean sample is: the mean label.
    np.testing.assert_allclose(fitted(np.full((1, 2), nan)), [2.5])


@pytest.mark.parametrize("form", ["class", "binary"])
def test_predictions_are_probabilities_that_the_metrics_take(form):
    train, valid = drawn(60, 5, form), drawn(40, 5, form, seed=1)
    fitted = ridge.fit(train, valid, form, OUTPUTS[form])
    far_nf, labels = 10 * valid[0], valid[1]  # beyond 0 and 1, without the clip
    p_no = fitted(far_nf)
    raw_no = far_nf @ fitted.weights_fo + fitted.intercept_o
    assert raw_no.min() < 0
    assert raw_no.max() > 1
    assert p_no.min() > 0.99 * LEAST / 2
    assert p_no.max() < 1
    if form == "class":
        np.testing.assert_allclose(p_no.sum(axis=1), 1)
        np.testing.assert_array_equal(p_no.argmax(axis=1), np.clip(raw_no, 0, 1).argmax(axis=1))
    else:
        np.testing.assert_array_equal(p_no > 0.5, raw_no > 0.5)
    assert all(figure is not None for figure in FAMILIES[form].compute(p_no, labels).values())


def test_a_class_that_training_lacks_is_not_predicted():
    x_nf, y_n = drawn(form="class")
    fitted = ridge.fit((x_nf, y_n), (x_nf, y_n), "class", 5)
    p_nc = fitted(x_nf)
    assert p_nc.shape == (60, 5)
    assert p_nc[:, 3:].max() <= 2 * LEAST


def test_units_of_columns_do_not_count_if_they_are_standard():
    (x_nf, y_n), valid = drawn(), drawn(seed=1)
    units_f = np.array([1e-3, 1.0, 50.0, 1e4, 7.0])
    one = ridge.fit((x_nf, y_n), valid, "number", 1, standard=True)
    other = ridge.fit(
        (x_nf * units_f, y_n), (valid[0] * units_f, valid[1]), "number", 1, standard=True
    )
    np.testing.assert_allclose(one(valid[0]), other(valid[0] * units_f))
    plain = ridge.fit((x_nf * units_f, y_n), (valid[0] * units_f, valid[1]), "number", 1)
    assert not np.allclose(one(valid[0]), plain(valid[0] * units_f))


@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("form", OUTPUTS)
def test_columns_and_samples_that_say_nothing_leave_the_mean(form, standard):
    """Constant columns, columns that no sample has, one training sample."""
    for n in (1, 20):
        _, labels = drawn(n, 3, form)
        x_nf = np.full((n, 3), np.nan)
        x_nf[:, 0] = 7.25
        x_nf[:, 1] = 0.0
        fitted = ridge.fit((x_nf, labels), (x_nf, labels), form, OUTPUTS[form], standard=standard)
        assert np.all(fitted.weights_fo == 0)
        found = fitted(np.array([[7.25, 0.0, np.nan], [100.0, -3.0, 5.0]]))
        mean_o = ridge.indicators(labels, form, OUTPUTS[form]).mean(axis=0, keepdims=True)
        np.testing.assert_allclose(found, np.repeat(ridge.answers(mean_o, form), 2, axis=0))
        assert fitted.strength == STRENGTHS[-1]  # all are equal

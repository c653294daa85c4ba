from functools import partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import measures_reference as measures
import numpy as np
import pytest
from losses_reference import as_float64

from fsrf_jax.losses import MeasureOptions, Task, distillation, named_divergence
from fsrf_jax.losses.distillation import teaching_weights
from fsrf_jax.losses.divergences import mmd, mse

WEIGHTS = np.asarray(reference.example_batch().weights)
ALL = dict.fromkeys(reference.MODALITIES, 1)
NOTHING = dict.fromkeys(reference.MODALITIES, 0)
DEFAULT = {"mmd": mmd, "mse": mse}
jit = partial(jax.jit, compiler_options=reference.QUICK)
squared = Task("l1").disagreement


def views(available=None, names=("fused", "heterogeneous", "homogeneous")):
    """Codes of two views [n, b, d], and where both have them [n, b]."""
    chosen = [reference.example_view(seed, available=available) for seed in (0, 1)]
    (first, first_has), (second, second_has) = (reference.codes_of(v, names) for v in chosen)
    return first, second, first_has * second_has


def heads(outputs):
    """Raw outputs of two views."""
    return tuple(reference.example_view(seed, width=outputs).prediction_bo for seed in (0, 1))


@jit
def features(first, second, shared, to_first_b, to_second_b):
    return distillation.features(first, second, shared, to_first_b, to_second_b, DEFAULT)


@jit
@partial(jax.value_and_grad, has_aux=True)
def features_and_gradients(both, shared, to_first_b, to_second_b):
    terms = distillation.features(*both, shared, to_first_b, to_second_b, DEFAULT)
    return sum(term.value for term in terms.values()), terms


LEARNER = np.array([0.2, 0.5, 0.5, 0.9], np.float32)
TEACHER = np.array([0.5, 0.5, 0.2, 1.0], np.float32)


@pytest.mark.parametrize(
    ("direction", "weigh_teacher", "expected"),
    [
        ("both", False, [1, 1, 1, 1]),
        ("both", True, [0.5, 0.5, 0.2, 1]),
        ("to_less_complete", False, [1, 0, 0, 1]),
        ("to_less_complete", True, [0.5, 0, 0, 1]),
    ],
)
def test_teaching_weights(direction, weigh_teacher, expected):
    """The second sample is as complete in both views: then neither teaches."""
    options = {"direction": direction, "weigh_teacher": weigh_teacher}
    np.testing.assert_allclose(teaching_weights(LEARNER, TEACHER, **options), expected)
    swapped = teaching_weights(TEACHER, LEARNER, **options)
    if direction == "to_less_complete":
        np.testing.assert_array_equal(swapped > 0, TEACHER < LEARNER)
    else:
        np.testing.assert_allclose(swapped, LEARNER if weigh_teacher else 1)


def graded_weights():
    rng = np.random.default_rng(5)
    return (rng.uniform(0.2, 1, (2, 16)) * WEIGHTS[None]).astype(np.float32)


@pytest.mark.parametrize(
    "names",
    [
        ("fused", "heterogeneous", "homogeneous"),
        ("fused",),
        ("homogeneous",),
        ("heterogeneous", "fused"),
        ("heterogeneous",),
    ],
)
def test_value_with_weights_of_each_direction(names):
    arrays = *views(names=names), *graded_weights()
    terms = features(*arrays)
    assert set(terms) == {"mmd", "mse"}
    for name in terms:
        expected = reference.features(*as_float64(arrays), measures.DIVERGENCES[name])
        np.testing.assert_allclose(terms[name], expected, rtol=1e-5)


def test_every_divergence_with_options():
    """At their defaults each is what its reference is."""
    names = ("cmd", "gaussian_kl", "sinkhorn", "sliced_wasserstein")
    divergences = {name: named_divergence(name, MeasureOptions()) for name in names}
    arrays = *views(ALL, ("homogeneous",)), *graded_weights()
    run = jit(lambda *arrays: distillation.features(*arrays, divergences))
    for name, term in run(*arrays).items():

        def expected(x, y, w, name=name):
            return measures.value(name, x, y, w)

        np.testing.assert_allclose(
            term, reference.features(*as_float64(arrays), expected), rtol=1e-3, err_msg=name
        )
        assert term.value > 0


def test_a_direction_without_weight_is_left_out_of_the_mean():
    first, second, shared = views()
    terms = features(first, second, shared, WEIGHTS, 0 * WEIGHTS)
    arrays = as_float64((first, second, shared, WEIGHTS, 0 * WEIGHTS))
    np.testing.assert_allclose(terms["mse"], reference.features(*arrays, reference.mse), rtol=1e-5)
    _, gradients = features_and_gradients((first, second), shared, WEIGHTS, 0 * WEIGHTS)
    assert np.abs(gradients[0][0]).sum() > 0
    np.testing.assert_array_equal(gradients[1], 0 * second)


def test_without_a_divergence_there_is_no_term():
    assert distillation.features(*views(), WEIGHTS, WEIGHTS, {}) == {}


def test_without_codes_there_is_nothing_to_learn():
    first, second, shared = (x[:0] for x in views())
    assert features(first, second, shared, WEIGHTS, WEIGHTS)["mmd"] == (0, 0)


def test_all_missing_leaves_the_fused_code():
    first, second, shared = views(NOTHING)
    term = features(first, second, shared, WEIGHTS, WEIGHTS)["mse"]
    expected = reference.mse(*as_float64((first[0], second[0], WEIGHTS)))
    np.testing.assert_allclose(term, (expected, 2 * WEIGHTS.sum()), rtol=1e-5)


def test_available_in_one_view_only_counts_nothing():
    first, second, shared = views(ALL)
    shared[1:] = 0
    _, (gradient, _) = features_and_gradients((first, second), shared, WEIGHTS, WEIGHTS)
    np.testing.assert_array_equal(gradient[1:], 0 * first[1:])
    assert np.abs(gradient[0]).sum() > 0


def test_no_gradient_into_the_side_that_teaches():
    def only_the_teacher(x_bd, y_bd, weights_b):
        return jnp.sum(y_bd) + 0 * jnp.sum(x_bd) + 0 * jnp.sum(weights_b)

    first, second, shared = views()

    @jit
    @jax.value_and_grad
    def value(both):
        chosen = {"teacher": only_the_teacher}
        return distillation.features(*both, shared, WEIGHTS, WEIGHTS, chosen)["teacher"].value

    result, gradients = value((first, second))
    assert result != 0
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, gradients))


def test_gradient_is_that_of_learning_from_a_constant():
    first, second, shared = views(names=("fused",))
    p_b1 = (WEIGHTS / WEIGHTS.sum())[:, None]
    difference = first[0] - second[0]

    @jit
    @jax.grad
    def slopes(both):
        return distillation.features(*both, shared, WEIGHTS, WEIGHTS, {"mse": mse})["mse"].value

    # Half of the gradient of p |x - y|^2 / d; without stop-gradients it would be all of it.
    expected = p_b1 * difference / difference.shape[1]
    gradients = slopes((first, second))
    np.testing.assert_allclose(gradients[0][0], expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(gradients[1][0], -expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("same", [True, False])
def test_zero_weights_or_equal_views(same):
    first, second, shared = views()
    second = first if same else second
    weights = WEIGHTS if same else 0 * WEIGHTS
    (value, terms), gradients = features_and_gradients((first, second), shared, weights, weights)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert same or all(term == (0, 0) for term in terms.values())
    chex.assert_trees_all_close(gradients, jax.tree.map(jnp.zeros_like, gradients), atol=1e-6)


def test_swapping_the_views_changes_nothing():
    first, second, shared = views()
    some = WEIGHTS * np.linspace(0, 1, 16, dtype=np.float32)
    chex.assert_trees_all_close(
        features(first, second, shared, WEIGHTS, some),
        features(second, first, shared, some, WEIGHTS),
        rtol=1e-6,
    )


def test_rows_without_weight_may_hold_anything():
    first, second, shared = views()
    (value, _), gradients = features_and_gradients((first, second), shared, WEIGHTS, WEIGHTS)
    other = tuple(np.where(WEIGHTS[:, None] > 0, x, 7) for x in (first, second))
    (same, _), same_gradients = features_and_gradients(other, shared, WEIGHTS, WEIGHTS)
    np.testing.assert_allclose(same, value, rtol=1e-6)
    chex.assert_trees_all_close(same_gradients, gradients, rtol=1e-5, atol=1e-7)
    assert all((np.asarray(g)[:, WEIGHTS == 0] == 0).all() for g in gradients)


PREDICTIONS = {
    "squared": (Task("l1"), {}),
    "kl": (Task("cross_entropy", 3), {"temperature": 2.0}),
    "binary_kl": (Task("binary_cross_entropy", 2), {"temperature": 2.0}),
    "gaussian_kl": (Task("gaussian"), {"kind": "gaussian_kl"}),
}


@pytest.mark.parametrize("name", sorted(PREDICTIONS))
def test_predictions(name):
    """Value, and the gradient: each view is a constant to the one that learns from it."""
    task, options = PREDICTIONS[name]
    function = partial(task.disagreement, **options)
    first, second = heads(task.head_width)
    to_second = (WEIGHTS * np.linspace(0, 1, 16)).astype(np.float32)

    @jit
    @jax.value_and_grad
    def value(pair):
        return distillation.predictions(*pair, WEIGHTS, to_second, function).value

    result, gradients = value((first, second))
    expected = [
        np.average(reference.disagreement(name, *as_float64(pair)), weights=w_b)
        for *pair, w_b in ((first, second, WEIGHTS), (second, first, to_second))
    ]
    np.testing.assert_allclose(result, np.mean(expected), rtol=1e-4)
    if name == "squared":
        difference = (first - second)[:, 0]
        for gradient, slope, w_b in zip(gradients, (1, -1), (WEIGHTS, to_second), strict=True):
            expected_b = slope * difference * w_b / w_b.sum()
            np.testing.assert_allclose(gradient[:, 0], expected_b, rtol=1e-5, atol=1e-8)
    # What stands in a row without weight makes no difference.
    other = tuple(np.where(WEIGHTS[:, None] > 0, x, 7) for x in (first, second))
    same, same_gradients = value(other)
    np.testing.assert_allclose(same, result, rtol=1e-6)
    for gradient, same_gradient in zip(gradients, same_gradients, strict=True):
        np.testing.assert_allclose(same_gradient, gradient, rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(np.asarray(gradient)[WEIGHTS == 0], 0)


def test_no_gradient_into_the_prediction_that_teaches():
    first, second = heads(1)

    def only_the_teacher(learner_bo, teacher_bo):
        return teacher_bo[:, 0] + 0 * learner_bo[:, 0]

    def value(pair):
        return distillation.predictions(*pair, WEIGHTS, WEIGHTS, only_the_teacher).value

    gradients = jit(jax.grad(value))((first, second))
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, gradients))


def test_only_the_more_complete_view_teaches():
    """View 1 is complete: its predictions and codes feel nothing of distillation."""
    completeness_b = reference.example_view().completeness_b
    complete_b = np.ones(16, np.float32)
    how = {"direction": "to_less_complete", "weigh_teacher": False}
    to_first = WEIGHTS * teaching_weights(completeness_b, complete_b, **how)
    to_second = WEIGHTS * teaching_weights(complete_b, completeness_b, **how)

    def value(pair):
        return distillation.predictions(*pair, to_first, to_second, squared).value

    gradients = jit(jax.grad(value))(heads(1))
    assert np.abs(gradients[0]).sum() > 0
    np.testing.assert_array_equal(gradients[1], 0 * gradients[1])
    first, second, shared = views()
    _, gradients = features_and_gradients((first, second), shared, to_first, to_second)
    assert np.abs(gradients[0]).sum() > 0
    np.testing.assert_array_equal(gradients[1], 0 * second)


def test_predictions_without_weight():
    first, second = heads(1)

    @jit
    @jax.value_and_grad
    def value(y):
        none = 0 * WEIGHTS
        return distillation.predictions(y, second, none, none, squared).value

    result, gradient = value(first)
    assert result == 0
    np.testing.assert_array_equal(gradient, 0 * first)


@pytest.mark.parametrize(
    ("progress", "share", "expected"),
    [
        (0.1, 0.0, 1),
        (1.0, 0.0, 1),
        (0.1, 0.5, 0.2),
        (0.5, 0.5, 1),
        (0.9, 0.5, 1),
        (0.25, 1.0, 0.25),
        (1.0, 1.0, 1),
        (0.001, 1e-30, 1),
    ],
)
def test_warm_up(progress, share, expected):
    for warm_up in (distillation.warm_up, jit(distillation.warm_up)):
        factor = warm_up(jnp.float32(progress), share)
        np.testing.assert_allclose(factor, expected, rtol=1e-6)
        assert factor.dtype == jnp.float32


def test_warm_up_over_no_time_at_all_has_a_finite_slope():
    assert jax.grad(distillation.warm_up, argnums=1)(jnp.float32(0.4), 0.0) == 0


def test_warm_up_of_a_population():
    shares = jnp.array([0.0, 0.2, 0.8])
    factors = jit(jax.vmap(distillation.warm_up, in_axes=(None, 0)))(jnp.float32(0.4), shares)
    np.testing.assert_allclose(factors, [1, 1, 0.5], rtol=1e-6)


def test_shapes_are_checked():
    first, second = heads(2)
    with pytest.raises(AssertionError):
        distillation.predictions(first, second[:, :1], WEIGHTS, WEIGHTS, squared)
    with pytest.raises(AssertionError):
        distillation.predictions(first[:, 0], second[:, 0], WEIGHTS, WEIGHTS, squared)
    with pytest.raises(AssertionError):
        distillation.features(*views(), WEIGHTS[:, None], WEIGHTS, DEFAULT)
    first, second, shared = views()
    with pytest.raises(AssertionError):
        distillation.features(first, second[:3], shared, WEIGHTS, WEIGHTS, DEFAULT)
    with pytest.raises(AssertionError):
        distillation.features(first, second, shared[:3], WEIGHTS, WEIGHTS, DEFAULT)

from functools import partial

import chex
import jax
import jax.numpy as jnp
import losses_reference as reference
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, rel_entr, softmax
from scipy.stats import norm

from fsrf_jax.losses import distillation
from fsrf_jax.losses.distillation import teaching_weights
from fsrf_jax.losses.divergences import mmd, mse

WEIGHTS = np.asarray(reference.example_batch().weights)
DEFAULT = {"mmd": mmd, "mse": mse}
DISAGREEMENTS = {
    "squared": (distillation.squared, 1),
    "kl": (partial(distillation.kl, temperature=2.0), 3),
    "binary_kl": (partial(distillation.binary_kl, temperature=2.0), 2),
    "gaussian_kl": (distillation.gaussian_kl, 2),
}
jit = partial(jax.jit, compiler_options=reference.QUICK)
every_disagreement = pytest.mark.parametrize("name", sorted(DISAGREEMENTS))


def views(available=None):
    codes = reference.example_outputs(available=available).codes
    return [jax.tree.map(lambda x, k=k: np.asarray(x)[k], codes) for k in (0, 1)]


def heads(outputs):
    """Raw outputs of two views."""
    return tuple(np.asarray(reference.example_outputs(outputs=outputs).prediction))


def as_float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


@jit
def features(first, second, to_first_b, to_second_b):
    return distillation.features(first, second, to_first_b, to_second_b, DEFAULT)


@jit
@partial(jax.value_and_grad, has_aux=True)
def features_and_gradients(both, to_first_b, to_second_b):
    terms = distillation.features(*both, to_first_b, to_second_b, DEFAULT)
    return sum(term.value for term in terms.values()), terms


def compared(first, second, w, aligned=("fused", "homogeneous", "heterogeneous")):
    """Pairs of codes and their weights, one way."""
    a, b, w = as_float64((first, second, w))
    triples = [(a.fused, b.fused, w)] if "fused" in aligned else []
    for m in reference.MODALITIES:
        both = a.available[m] * b.available[m] * w
        for name in set(aligned) - {"fused"}:
            triples.append((getattr(a, name)[m], getattr(b, name)[m], both))
    return triples


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


def test_value_with_weights_of_each_direction():
    first, second = views()
    rng = np.random.default_rng(5)
    to_first, to_second = (rng.uniform(0.2, 1, (2, 16)) * WEIGHTS).astype(np.float32)
    terms = features(first, second, to_first, to_second)
    triples = compared(first, second, to_first) + compared(second, first, to_second)
    assert set(terms) == {"mmd", "mse"}
    for name, measure in (("mmd", reference.mmd), ("mse", reference.mse)):
        expected = np.mean([measure(*triple) for triple in triples])
        np.testing.assert_allclose(terms[name].value, expected, rtol=1e-5)
        weight = sum(triple[2].sum() for triple in triples)
        np.testing.assert_allclose(terms[name].weight, weight, rtol=1e-6)


def test_a_direction_without_weight_is_left_out_of_the_mean():
    first, second = views()
    terms = features(first, second, WEIGHTS, 0 * WEIGHTS)
    expected = np.mean([reference.mse(*triple) for triple in compared(first, second, WEIGHTS)])
    np.testing.assert_allclose(terms["mse"].value, expected, rtol=1e-5)
    _, gradients = features_and_gradients((first, second), WEIGHTS, 0 * WEIGHTS)
    assert np.abs(gradients[0].fused).sum() > 0
    chex.assert_trees_all_equal(gradients[1].fused, np.zeros_like(second.fused))


@pytest.mark.parametrize(
    "aligned", [("fused",), ("homogeneous",), ("heterogeneous", "fused"), ("heterogeneous",)]
)
def test_chosen_codes(aligned):
    first, second = views()
    chosen = {"mse": mse}
    term = distillation.features(first, second, WEIGHTS, WEIGHTS, chosen, aligned)["mse"]
    triples = compared(first, second, WEIGHTS, aligned)
    np.testing.assert_allclose(term.value, np.mean([reference.mse(*t) for t in triples]), rtol=1e-5)
    np.testing.assert_allclose(term.weight, 2 * sum(t[2].sum() for t in triples), rtol=1e-6)


def test_without_a_divergence_there_is_no_term():
    assert distillation.features(*views(), WEIGHTS, WEIGHTS, {}) == {}


def test_all_missing_leaves_the_fused_code():
    first, second = views(dict.fromkeys(reference.MODALITIES, 0))
    term = features(first, second, WEIGHTS, WEIGHTS)["mse"]
    expected = reference.mse(*as_float64((first.fused, second.fused, WEIGHTS)))
    np.testing.assert_allclose(term, (expected, 2 * WEIGHTS.sum()), rtol=1e-5)


def test_available_in_one_view_only_counts_nothing():
    first, second = views(dict.fromkeys(reference.MODALITIES, 1))
    second = second.replace(available=jax.tree.map(np.zeros_like, second.available))
    _, (gradients, _) = features_and_gradients((first, second), WEIGHTS, WEIGHTS)
    for tree in (gradients.homogeneous, gradients.heterogeneous):
        chex.assert_trees_all_equal(tree, jax.tree.map(jnp.zeros_like, tree))
    assert np.abs(gradients.fused).sum() > 0


def test_no_gradient_into_the_side_that_teaches():
    def only_the_teacher(x_bd, y_bd, weights_b):
        return jnp.sum(y_bd) + 0 * jnp.sum(x_bd) + 0 * jnp.sum(weights_b)

    @jit
    @jax.value_and_grad
    def value(both):
        chosen = {"teacher": only_the_teacher}
        return distillation.features(*both, WEIGHTS, WEIGHTS, chosen)["teacher"].value

    result, gradients = value(tuple(views()))
    assert result != 0
    codes = [(g.fused, g.homogeneous, g.heterogeneous) for g in gradients]
    chex.assert_trees_all_equal(codes, jax.tree.map(jnp.zeros_like, codes))


def test_gradient_is_that_of_learning_from_a_constant():
    first, second = views(dict.fromkeys(reference.MODALITIES, 0))
    p_b1 = (WEIGHTS / WEIGHTS.sum())[:, None]
    difference = first.fused - second.fused

    @jit
    @jax.grad
    def slopes(both):
        return distillation.features(*both, WEIGHTS, WEIGHTS, {"mse": mse})["mse"].value

    # Half of the gradient of p |x - y|^2 / d; without stop-gradients it would be all of it.
    expected = p_b1 * difference / difference.shape[1]
    gradients = slopes((first, second))
    np.testing.assert_allclose(gradients[0].fused, expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(gradients[1].fused, -expected, rtol=1e-5, atol=1e-8)


def test_no_gradient_into_noise_and_pooled_codes():
    _, gradients = features_and_gradients(tuple(views()), WEIGHTS, WEIGHTS)
    for gradient in gradients:
        unused = (gradient.noise, gradient.pooled)
        chex.assert_trees_all_equal(unused, jax.tree.map(jnp.zeros_like, unused))


@pytest.mark.parametrize("same", [True, False])
def test_zero_weights_or_equal_views(same):
    first, second = views()
    second = first if same else second
    weights = WEIGHTS if same else 0 * WEIGHTS
    (value, terms), gradients = features_and_gradients((first, second), weights, weights)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert same or all(term == (0, 0) for term in terms.values())
    chex.assert_trees_all_close(gradients, jax.tree.map(jnp.zeros_like, gradients), atol=1e-6)


def test_swapping_the_views_changes_nothing():
    first, second = views()
    some = WEIGHTS * np.linspace(0, 1, 16, dtype=np.float32)
    chex.assert_trees_all_close(
        features(first, second, WEIGHTS, some), features(second, first, some, WEIGHTS), rtol=1e-6
    )


def expected_disagreement(name, learner, teacher):
    """Each row by the definition, at a temperature of 2 where there is one."""
    if name == "squared":
        return (learner[:, 0] - teacher[:, 0]) ** 2
    if name == "kl":
        return 4 * rel_entr(softmax(teacher / 2, axis=1), softmax(learner / 2, axis=1)).sum(1)
    if name == "binary_kl":
        q, p = expit(teacher / 2), expit(learner / 2)
        return 4 * (rel_entr(q, p) + rel_entr(1 - q, 1 - p)).mean(1)

    def integrand(x, q, p):
        return q.pdf(x) * (q.logpdf(x) - p.logpdf(x))

    def distribution(row):
        return norm(row[0], np.exp(3 * np.tanh(row[1] / 6)))

    pairs = zip(map(distribution, teacher), map(distribution, learner), strict=True)
    return [
        quad(integrand, q.mean() - 9 * q.std(), q.mean() + 9 * q.std(), (q, p))[0] for q, p in pairs
    ]


@every_disagreement
def test_disagreement_value(name):
    function, outputs = DISAGREEMENTS[name]
    learner, teacher = heads(outputs)
    expected = expected_disagreement(name, *as_float64((learner, teacher)))
    np.testing.assert_allclose(jit(function)(learner, teacher), expected, rtol=1e-4, atol=1e-7)


@every_disagreement
def test_disagreement_of_equal_and_of_huge_heads(name):
    function, outputs = DISAGREEMENTS[name]
    learner, teacher = heads(outputs)
    slope = jit(jax.value_and_grad(lambda x, y: jnp.sum(function(x, y))))
    value, gradient = slope(learner, learner)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0 * learner, atol=1e-6)
    chex.assert_tree_all_finite(slope(1e4 * learner, 1e4 * teacher))


@every_disagreement
def test_predictions(name):
    """Value, and the gradient: each view is a constant to the one that learns from it."""
    function, outputs = DISAGREEMENTS[name]
    first, second = heads(outputs)
    to_second = (WEIGHTS * np.linspace(0, 1, 16)).astype(np.float32)

    @jit
    @jax.value_and_grad
    def value(pair):
        return distillation.predictions(*pair, WEIGHTS, to_second, function).value

    result, gradients = value((first, second))
    expected = [
        np.average(expected_disagreement(name, *as_float64(pair)), weights=w_b)
        for *pair, w_b in ((first, second, WEIGHTS), (second, first, to_second))
    ]
    np.testing.assert_allclose(result, np.mean(expected), rtol=1e-4)
    if name == "squared":
        difference = (first - second)[:, 0]
        for gradient, slope, w_b in zip(gradients, (1, -1), (WEIGHTS, to_second), strict=True):
            expected_b = slope * difference * w_b / w_b.sum()
            np.testing.assert_allclose(gradient[:, 0], expected_b, rtol=1e-5, atol=1e-8)


def test_no_gradient_into_the_prediction_that_teaches():
    first, second = heads(1)

    def only_the_teacher(learner_bo, teacher_bo):
        return teacher_bo[:, 0] + 0 * learner_bo[:, 0]

    def value(pair):
        return distillation.predictions(*pair, WEIGHTS, WEIGHTS, only_the_teacher).value

    gradients = jit(jax.grad(value))((first, second))
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, gradients))


def test_predictions_without_weight():
    first, second = heads(1)

    @jit
    @jax.value_and_grad
    def value(y):
        none = 0 * WEIGHTS
        return distillation.predictions(y, second, none, none, distillation.squared).value

    result, gradient = value(first)
    assert result == 0
    np.testing.assert_array_equal(gradient, 0 * first)


def test_a_high_temperature_makes_kl_a_squared_difference_of_logits():
    """Hinton et al.: `1/2 mean_o (x - y)^2` of logits about their mean, as the square keeps it."""
    learner, teacher = heads(3)
    difference = learner - teacher
    difference = difference - difference.mean(1, keepdims=True)
    value = distillation.kl(learner, teacher, temperature=100.0)
    np.testing.assert_allclose(value, (difference**2).mean(1) / 2, rtol=0.05, atol=1e-3)


def test_warm_up_reaches_the_weights_of_distillation_alone():
    weights = reference.example_weights()
    quarter = distillation.warm_up(weights, jnp.float32(0.25))
    for name, weight in weights.by_name().items():
        share = 0.25 if "distillation" in name else 1
        np.testing.assert_allclose(quarter.by_name()[name], share * weight)
    chex.assert_trees_all_equal(distillation.warm_up(weights, jnp.float32(1)), weights)


def test_shapes_are_checked():
    first, second = heads(2)
    with pytest.raises(AssertionError):
        distillation.predictions(first, second[:, :1], WEIGHTS, WEIGHTS, distillation.squared)
    with pytest.raises(AssertionError):
        distillation.predictions(first[:, 0], second[:, 0], WEIGHTS, WEIGHTS, distillation.squared)
    with pytest.raises(AssertionError):
        distillation.features(*views(), WEIGHTS[:, None], WEIGHTS, DEFAULT)

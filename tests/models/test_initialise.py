import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from flax import linen as nn

from fsrf_jax.losses.task import Task
from fsrf_jax.methods import Fsrf, Setting
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import Deferred, initialise, kernel_scale, token_scale
from fsrf_jax.models.layers import Perceptron, SelfAttention, dense, per_modality
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.types import Batch

KEY = jax.random.key(0)


def test_scales():
    of_kernel, of_token = kernel_scale(KEY, (4, 5, 3)), token_scale(KEY, (4, 5))
    np.testing.assert_allclose(of_kernel.scale, np.full((4, 5, 3), 20**-0.5))
    np.testing.assert_allclose(of_token.scale, np.full((4, 5), 0.02))


class Example(nn.Module):
    """Parameters of several kinds and sizes."""

    @nn.compact
    def __call__(self):
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        self.param("one", kernel_scale, (100, 40))
        self.param("bias", zeros, (40,))
        self.param("two", kernel_scale, (25, 200))
        self.param("scale", ones, (9,))
        self.param("missing", token_scale, (60, 50))
        self.param("slot", token_scale, (60, 50))
        self.param("class", token_scale, (500,))
        # Neither its name nor its own random numbers make it a parameter of ours.
        self.param("kernel", nn.initializers.normal(3.0), (50, 60))


def assert_normal(leaf, deviation):
    """Mean and standard deviation of many numbers, and that they look normal."""
    leaf = np.ravel(leaf)
    np.testing.assert_allclose(leaf.std(), deviation, rtol=5 / np.sqrt(2 * leaf.size))
    assert abs(leaf.mean()) < 5 * deviation / np.sqrt(leaf.size)
    # Normal times normal would have a kurtosis of 9.
    kurtosis = ((leaf - leaf.mean()) ** 4).mean() / leaf.std() ** 4
    assert abs(kurtosis - 3) < 5 * np.sqrt(24 / leaf.size)


def test_initialise():
    drawn = initialise(Example(), KEY)
    deviations = {"one": 0.1, "two": 0.2, "missing": 0.02, "slot": 0.02, "class": 0.02, "kernel": 3}
    numbers = []
    for name, deviation in deviations.items():
        assert_normal(drawn[name], deviation)
        numbers.append(np.ravel(drawn[name])[:500] / deviation)
    correlations = np.corrcoef(np.stack(numbers))[~np.eye(6, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(500)
    case.assert_zero(drawn["bias"])
    np.testing.assert_array_equal(drawn["scale"], 1)


def test_seeds():
    chex.assert_trees_all_equal(initialise(Example(), KEY), initialise(Example(), KEY))
    one, other = (initialise(Example(), jax.random.key(seed)) for seed in (0, 1))
    for name in ("one", "two", "missing", "slot", "class", "kernel"):
        assert np.abs(one[name] - other[name]).min() > 0


class Mixed(nn.Module):
    """Stock Flax modules beside our bricks."""

    orthogonal: bool = True

    @nn.compact
    def __call__(self, x_btd, train=False):
        d = x_btd.shape[-1]
        carry, step_bd = jnp.zeros((*x_btd.shape[:-2], d)), x_btd[..., 0, :]
        orthogonal, lecun = nn.initializers.orthogonal(), nn.initializers.lecun_normal()
        kernel_init = orthogonal if self.orthogonal else lecun  # the first is its default
        gru = nn.GRUCell(d, recurrent_kernel_init=kernel_init, name="gru")
        recurrent = gru(carry, step_bd)[0]
        attended = nn.MultiHeadDotProductAttention(4, name="attention")(x_btd)
        he = nn.Dense(300, kernel_init=nn.initializers.he_normal(), name="he")(step_bd)
        return (
            recurrent,
            attended,
            he,
            nn.Dense(150, name="stock")(step_bd),
            nn.Conv(64, (3,), name="convolution")(x_btd),
            nn.LayerNorm(name="norm")(x_btd),
            nn.Embed(50, d, name="embedding")(jnp.zeros((2,), int)),
            dense(150, name="ours")(step_bd),
            SelfAttention(4, name="our_attention")(x_btd, jnp.ones(x_btd.shape[:-1], bool)),
            self.param("token", token_scale, (40, d)),
        )


class ManyMixed(nn.Module):
    """The same twice under a vmap, each with parameters of its own.

    Without orthogonal kernels: a QR decomposition under a vmap can hang in XLA on a CPU.
    """

    @nn.compact
    def __call__(self, x_mbtd):
        many = nn.vmap(Mixed, variable_axes={"params": 0}, split_rngs={"params": True})
        return many(orthogonal=False, name="many")(x_mbtd)


D = 120
GRU = {f"gru.i{gate}": D**-0.5 for gate in "rzn"}
ATTENTION = {f"attention.{name}": D**-0.5 for name in ("query", "key", "value", "out")}
OURS = {"ours": D**-0.5, "our_attention.query_key_value": D**-0.5, "our_attention.output": D**-0.5}
# By the documentation of each: lecun_normal by default, 1 / sqrt(fan in).
KERNELS = {
    **GRU,
    **ATTENTION,
    **OURS,
    "he": (2 / D) ** 0.5,
    "stock": D**-0.5,
    "convolution": (3 * D) ** -0.5,
}


def leaf_of(tree, name):
    for part in name.split("."):
        tree = tree[part]
    return tree


def assert_truncated(leaf, deviation):
    """The variance of `lecun_normal` is exact, though its normal is cut off at two deviations."""
    leaf = np.ravel(leaf)
    np.testing.assert_allclose(leaf.std(), deviation, rtol=5 / np.sqrt(2 * leaf.size))
    assert abs(leaf.mean()) < 5 * deviation / np.sqrt(leaf.size)
    assert np.abs(leaf).max() <= 2.001 * deviation / 0.8796256610342398


def assert_mixed(p, orthogonal=True):
    for name, deviation in KERNELS.items():
        kernel = leaf_of(p, name)["kernel"]
        (assert_normal if name in OURS else assert_truncated)(kernel, deviation)
    for gate in "rzn":
        kernel = p["gru"][f"h{gate}"]["kernel"]
        if orthogonal:
            np.testing.assert_allclose(kernel @ kernel.T, np.eye(D), atol=1e-4)
        else:
            assert_truncated(kernel, D**-0.5)
    assert_normal(p["embedding"]["embedding"], D**-0.5)
    assert_normal(p["token"], 0.02)
    for path, leaf in jax.tree_util.tree_leaves_with_path(p):
        if path[-1].key == "bias":
            case.assert_zero(leaf)
    np.testing.assert_array_equal(p["norm"]["scale"], 1)


@pytest.fixture(scope="module")
def mixed():
    x_btd = jnp.ones((2, 3, D))
    return {
        "plain": jax.jit(lambda key: initialise(Mixed(), key, x_btd))(KEY),
        "mapped": jax.jit(lambda key: initialise(ManyMixed(), key, jnp.stack([x_btd] * 2)))(KEY),
    }


def test_stock_modules_start_as_they_say_next_to_our_bricks(mixed):
    assert_mixed(mixed["plain"])
    x_btd = case.normal(0, 2, 3, D)
    chex.assert_tree_all_finite(Mixed().apply({"params": mixed["plain"]}, x_btd))


def test_stock_modules_start_as_they_say_under_a_vmap(mixed):
    many = mixed["mapped"]["many"]
    members = [jax.tree.map(lambda x, i=i: x[i], many) for i in range(2)]
    for member in members:
        assert_mixed(member, orthogonal=False)
    for path, (one, other) in jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda *pair: pair, *members), is_leaf=lambda x: isinstance(x, tuple)
    ):
        if path[-1].key not in ("bias", "scale"):
            assert np.abs(one - other).max() > 0.5 * one.std()


def assert_plain(tree):
    """Dictionaries of arrays, nothing else."""
    assert type(tree) is dict
    for value in tree.values():
        if isinstance(value, dict):
            assert_plain(value)
        else:
            assert isinstance(value, jax.Array)
            assert value.dtype == jnp.float32


def test_plain_dictionaries_without_boxes(mixed):
    assert_plain(mixed)
    eager = initialise(Example(), KEY)
    assert_plain(eager)
    assert not any(isinstance(leaf, Deferred) for leaf in jax.tree.leaves(mixed))


def test_the_same_inside_and_outside_of_jit():
    x = jnp.ones((2, 5))
    module = Perceptron(7, 3)
    inside = jax.jit(lambda key: initialise(module, key, x, train=False))(KEY)
    outside = initialise(module, KEY, x, train=False)
    chex.assert_trees_all_close(inside, outside, rtol=1e-6)


BATCH = Batch(
    features={"language": jnp.ones((2, 4, 5)), "audio": jnp.ones((2, 6, 3))},
    valid={"language": jnp.ones((2, 4), bool), "audio": jnp.ones((2, 6), bool)},
    present={"language": jnp.ones((2, 4), bool), "audio": jnp.ones((2, 6), bool)},
    labels=jnp.zeros(2),
    weights=jnp.ones(2),
)
SETTING = Setting(Task("l1"), ModelOptions(width=16, heads=2))


@pytest.fixture(scope="module")
def parameters():
    return jax.jit(Fsrf().init, static_argnums=0)(SETTING, BATCH, KEY)


def fan_in(path, shape):
    names = [part.key for part in path]
    if "output" in names or "frames" in names:
        return shape[0] * shape[1]
    private = {"heterogeneous", "noise", "adversary"} & set(names)
    return shape[1] if private else shape[0]


def test_every_kernel_of_the_network_keeps_the_variance(parameters):
    """Also under vmap, and where Flax's kernels have several output axes."""
    kernels = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        name = path[-1].key
        if name == "kernel":
            kernels += 1
            expected = fan_in(path, leaf.shape) ** -0.5
            tolerance = 5 / np.sqrt(2 * leaf.size)
            np.testing.assert_allclose(jnp.sqrt((leaf**2).mean()), expected, rtol=tolerance)
        elif name == "bias":
            case.assert_zero(leaf)
        elif name == "scale":
            np.testing.assert_array_equal(leaf, 1)
        else:
            assert name in ("slot", "missing", "class")
            assert 0.01 < leaf.std() < 0.03
    assert kernels == 29


def test_inference_and_training_start_independently(parameters):
    """No number is used twice."""
    numbers = np.concatenate([np.ravel(x) for x in jax.tree.leaves(parameters)])
    drawn = numbers[~np.isin(numbers, (0, 1))]
    scaled = [
        np.ravel(leaf) * fan_in(path, leaf.shape) ** 0.5
        for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)
        if path[-1].key == "kernel"
    ]
    normal = np.concatenate(scaled)
    assert len(drawn) >= len(normal)
    # Scaled to a deviation of 1, in float32 a few of ten thousand numbers are alike by chance.
    assert len(np.unique(normal.round(5))) > 0.9 * len(normal)


def test_the_parameters_of_options_start_as_they_should():
    """Class tokens, scores and kernels at random, also from each other; learned frames at zero."""
    options = {
        pool: ModelOptions(16, 2, dropout=0.0, missing_frame="learned", pool=pool)
        for pool in ("attention", "cls")
    }
    concatenation = dataclasses.replace(options["cls"], fusion="concatenation")
    x_btf, mask_bt = jnp.ones((2, 4, 3)), jnp.ones((2, 4), bool)
    codes, available = jnp.ones((2, 2, 16)), jnp.ones((2, 2))

    @jax.jit
    def make(key):
        inputs = (x_btf, mask_bt, mask_bt)
        keys = iter(jax.random.split(key, 3))
        made = {
            pool: initialise(case.OneModality(o), next(keys), *inputs, train=False)
            for pool, o in options.items()
        }
        fusion = Fusion(concatenation)
        return made | {
            "fusion": initialise(fusion, next(keys), [codes, codes], available, train=False)
        }

    made = make(KEY)
    for pool in options:
        np.testing.assert_array_equal(made[pool]["missing_frame"], np.zeros(3))
    assert 0.01 < made["cls"]["class"].std() < 0.03
    assert 0.1 < made["attention"]["score"]["kernel"].std() < 0.5
    assert 0.01 < made["fusion"]["missing"].std() < 0.03
    hidden = made["fusion"]["Perceptron_0"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(hidden.std(), 64**-0.5, rtol=5 / np.sqrt(2 * hidden.size))
    kernels = [np.ravel(made[pool]["frames"]["kernel"]) for pool in options]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 5 / np.sqrt(kernels[0].size)


def test_private_encoders_start_different(parameters):
    for leaf in jax.tree.leaves(parameters["inference"]["factorizer"]["noise"]):
        if leaf.ndim == 3:
            assert np.abs(leaf[0] - leaf[1]).max() > 0.1


class Heads(nn.Module):
    """Perceptrons of each modality, of which there are many."""

    @nn.compact
    def __call__(self, x_mbd):
        return per_modality(Perceptron(50, 40, name="head"), x_mbd)


def test_perceptrons_of_each_modality_start_by_their_own_fan_in():
    head = initialise(Heads(), KEY, jnp.ones((4, 2, 30)))["head"]
    assert_normal(head["Dense_0"]["kernel"], 30**-0.5)
    assert_normal(head["Dense_1"]["kernel"], 50**-0.5)
    assert abs(np.corrcoef(*head["Dense_1"]["kernel"].reshape(4, -1)[:2])[0, 1]) < 0.1


def equations(jaxpr):
    """Every equation of a program and of those inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in jax.tree.leaves(value, is_leaf=lambda x: hasattr(x, "eqns")):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def draws(setting):
    """How many parameters are drawn in how many draws of random bits."""
    program = jax.make_jaxpr(lambda key: Fsrf().init(setting, BATCH, key))(KEY)
    found = [e for e in equations(program.jaxpr) if e.primitive.name == "erf_inv"]
    return len(found), sum(math.prod(e.outvars[0].aval.shape) for e in found)


def test_the_number_of_draws_does_not_grow_with_the_number_of_kernels():
    """A draw takes longer to compile than all that is done with its numbers."""
    shallow, deep = (
        draws(dataclasses.replace(SETTING, model=dataclasses.replace(SETTING.model, **layers)))
        for layers in ({}, {"encoder_layers": 4, "fusion_layers": 3})
    )
    assert shallow[0] == deep[0] == 2  # one for inference and one for training
    assert deep[1] > 2 * shallow[1]

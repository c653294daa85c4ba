import chex
import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest

from fsrf_jax import models
from fsrf_jax.models.encoder import ModalityEncoder
from fsrf_jax.models.fusion import Fusion
from fsrf_jax.models.initialise import kernel_scale, randomise, token_scale

KEY = jax.random.key(0)


def test_scales():
    np.testing.assert_allclose(kernel_scale(KEY, (4, 5, 3)), np.full((4, 5, 3), 20**-0.5))
    np.testing.assert_allclose(token_scale(KEY, (4, 5)), np.full((4, 5), 0.02))


def example():
    return {
        "one": {"kernel": kernel_scale(KEY, (100, 40)), "bias": jnp.zeros(40)},
        "two": {"kernel": kernel_scale(KEY, (25, 200)), "scale": jnp.ones(9)},
        "missing": token_scale(KEY, (60, 50)),
        "slot": token_scale(KEY, (60, 50)),
        "class": token_scale(KEY, (500,)),
    }


def test_randomise():
    drawn = randomise(example(), KEY)
    deviations = {"one": 0.1, "two": 0.2, "missing": 0.02, "slot": 0.02, "class": 0.02}
    numbers = []
    for name, deviation in deviations.items():
        leaf = np.ravel(drawn[name]["kernel"] if name in ("one", "two") else drawn[name])
        np.testing.assert_allclose(leaf.std(), deviation, rtol=4 / np.sqrt(2 * leaf.size))
        assert abs(leaf.mean()) < 4 * deviation / np.sqrt(leaf.size)
        numbers.append(leaf[:500] / deviation)
    correlations = np.corrcoef(np.stack(numbers))[~np.eye(5, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(500)
    case.assert_zero(drawn["one"]["bias"])
    np.testing.assert_array_equal(drawn["two"]["scale"], 1)


def test_seeds():
    chex.assert_trees_all_equal(randomise(example(), KEY), randomise(example(), KEY))
    other = randomise(example(), jax.random.key(1))
    assert np.abs(other["class"] - randomise(example(), KEY)["class"]).min() > 0


@pytest.fixture(scope="module")
def parameters():
    network = models.Network(case.MODALITIES, width=16, heads=2)
    auxiliary = models.AuxiliaryHeads(tuple(case.FEATURES.items()), hidden=16)
    return jax.jit(models.init, static_argnums=(0, 1))(network, auxiliary, case.make_batch(), KEY)


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


def test_the_parameters_of_options_start_as_they_should():
    """Class tokens, scores and kernels at random, also from each other; learned frames at zero."""
    rest = {"width": 16, "heads": 2, "layers": 1, "expansion": 2, "kernel": 3, "dropout": 0.0}
    options = {"missing_frame": "learned", "mask_aware": True}
    encoders = {
        pool: ModalityEncoder(**rest, **options, pool=pool) for pool in ("attention", "cls")
    }
    fusion = Fusion(case.MODALITIES, 2, 1, 2, 0.0, kind="concatenation")
    x_btf, mask_bt = jnp.ones((2, 4, 3)), jnp.ones((2, 4), bool)
    codes = {m: jnp.ones((2, 16)) for m in case.MODALITIES}
    available = {m: jnp.ones(2) for m in case.MODALITIES}

    @jax.jit
    def make(key):
        inputs = (x_btf, mask_bt, mask_bt)
        made = {n: e.init(key, *inputs, train=False)["params"] for n, e in encoders.items()}
        made["fusion"] = fusion.init(key, codes, codes, available, train=False)["params"]
        return made, randomise(made, key)

    before, made = make(KEY)
    np.testing.assert_allclose(before["attention"]["score"]["kernel"], np.full((16, 1), 0.25))
    for encoder in encoders:
        np.testing.assert_array_equal(made[encoder]["missing_frame"], np.zeros(3))
    assert 0.01 < made["cls"]["class"].std() < 0.03
    assert 0.1 < made["attention"]["score"]["kernel"].std() < 0.5
    assert 0.01 < made["fusion"]["missing"].std() < 0.03
    hidden = made["fusion"]["Perceptron_0"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(hidden.std(), 64**-0.5, rtol=5 / np.sqrt(2 * hidden.size))
    kernels = [np.ravel(made[encoder]["frames"]["kernel"]) for encoder in encoders]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 5 / np.sqrt(kernels[0].size)


def test_private_encoders_start_different(parameters):
    for leaf in jax.tree.leaves(parameters["network"]["Factorizer_0"]["noise"]):
        if leaf.ndim == 3:
            assert np.abs(leaf[0] - leaf[1]).max() > 0.1

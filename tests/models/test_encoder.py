import dataclasses
from functools import cache, partial
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import models_case as case
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads
from scipy.special import softmax

from fsrf_jax.arguments import make_parser, parse
from fsrf_jax.data.tokens import UNKNOWN
from fsrf_jax.errors import ConfigError
from fsrf_jax.models.encoder import POOLS, Encoders, masked_mean
from fsrf_jax.models.initialise import initialise
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import check

B, T, F, D = 4, 6, 3, 8
AWARE = case.OPTIONS
UNAWARE = dataclasses.replace(AWARE, mask_aware=False)
LEARNED = dataclasses.replace(AWARE, missing_frame="learned")
OPTIONS = {
    "mean": AWARE,
    "unaware_mean": UNAWARE,
    "last": dataclasses.replace(AWARE, pool="last"),
    "attention": dataclasses.replace(AWARE, pool="attention"),
    "cls": dataclasses.replace(AWARE, pool="cls"),
    "unaware_attention": dataclasses.replace(UNAWARE, pool="attention"),
    "unaware_cls": dataclasses.replace(UNAWARE, pool="cls"),
    "learned": LEARNED,
}
every = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)

X_BTF = case.normal(0, B, T, F)
VALID = jnp.asarray([[1] * 6, [1] * 6, [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], bool)
OBSERVED = jnp.asarray([[1, 0, 1, 1, 0, 1], [0] * 6, [1, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1]], bool)
SEEN = VALID & OBSERVED
MISSING = VALID & ~OBSERVED
SOME = np.asarray([0, 2, 3])  # samples with an observed frame


@cache
def parameters_of(options):
    return case.parameters_of(case.OneModality(options), X_BTF, VALID, OBSERVED, train=False)


@partial(jax.jit, static_argnums=0)
def apply(options, parameters, x_btf, valid_bt, observed_bt):
    variables = {"params": parameters}
    return case.OneModality(options).apply(variables, x_btf, valid_bt, observed_bt, train=False)


def encode(options, x_btf, valid_bt=VALID, observed_bt=OBSERVED):
    return apply(options, parameters_of(options), x_btf, valid_bt, observed_bt)


@partial(jax.jit, static_argnums=0)
def gradients(options, parameters, x_btf, observed_bt):
    """Of a weighted sum of Z, to the parameters and to the features."""

    def value(parameters, x_btf):
        z_bd, _ = apply(options, parameters, x_btf, VALID, observed_bt)
        return (z_bd * case.normal(3, B, D)).sum()

    return jax.grad(value, (0, 1))(parameters, x_btf)


def layer_norm(p, x_td):
    x_td = x_td - x_td.mean(axis=-1, keepdims=True)
    return x_td / np.sqrt((x_td**2).mean(axis=-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def reference_block(p, x_sd, heads):
    """A block over frames that may all attend to each other: nothing is masked."""
    h_sd, attention = layer_norm(p["LayerNorm_0"], x_sd), p["SelfAttention_0"]
    qkv = attention["query_key_value"]
    mixed_sd = np.zeros_like(x_sd) + attention["output"]["bias"]
    for h in range(heads):
        q, k, v = (h_sd @ qkv["kernel"][:, i, h] + qkv["bias"][i, h] for i in range(3))
        weights = softmax(q @ k.T / np.sqrt(q.shape[-1]), axis=1)
        mixed_sd += weights @ v @ attention["output"]["kernel"][h]
    x_sd = x_sd + mixed_sd
    hidden = layer_norm(p["LayerNorm_1"], x_sd) @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    return x_sd + gelu(hidden) @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]


def reference_encode(options, parameters, x_tf, valid_t, observed_t):
    """One sample in float64: what is masked is left out before the block, not masked in it."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), parameters)
    seen_t = valid_t & observed_t
    if not seen_t.any():
        return np.zeros(options.width)
    visible_tf = np.where(seen_t[:, None], x_tf, 0.0)
    if options.missing_frame == "learned":
        visible_tf[valid_t & ~seen_t] = p["missing_frame"]
    t, d = len(x_tf), options.width
    around_tf = np.pad(visible_tf, ((1, 1), (0, 0)))
    h_td = sum(around_tf[i : i + t] @ p["frames"]["kernel"][i] for i in range(3))
    h_td = h_td + p["frames"]["bias"]
    angle_td = np.arange(t)[:, None] / 10_000 ** (np.arange(d // 2) / (d // 2))
    h_td = h_td + np.concatenate([np.sin(angle_td), np.cos(angle_td)], axis=1)
    h_sd = h_td[seen_t if options.mask_aware else valid_t]
    if options.pool == "cls":
        h_sd = np.concatenate([p["class"][None], h_sd])
    h_sd = reference_block(p["Block_0"], h_sd, options.heads)
    h_sd = layer_norm(p["LayerNorm_0"], h_sd)
    if options.pool == "attention":
        return softmax(h_sd @ p["score"]["kernel"][:, 0]) @ h_sd
    return {"mean": h_sd.mean(axis=0), "last": h_sd[-1], "cls": h_sd[0]}[options.pool]


@every
def test_against_float64(options):
    z_bd, available_b = encode(options, X_BTF)
    assert z_bd.shape == (B, D)
    assert z_bd.dtype == available_b.dtype == jnp.float32
    for b in range(B):
        length = int(np.flatnonzero(VALID[b]).max()) + 1  # without the padding behind
        sample = (np.asarray(x)[b, :length] for x in (X_BTF, VALID, OBSERVED))
        expected_d = reference_encode(options, parameters_of(options), *sample)
        np.testing.assert_allclose(z_bd[b], expected_d, rtol=1e-4, atol=1e-5)


def test_the_defaults_have_no_further_parameters():
    assert set(parameters_of(AWARE)) == {"Block_0", "LayerNorm_0", "frames"}
    assert (AWARE.pool, AWARE.missing_frame) == ("mean", "zero")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"pool": "cls", "encoder_layers": 0},
            "encoder_layers: found 0, expected 1 or more, because model.pool is cls.",
        ),
        ({"width": 6, "heads": 4}, "width: found 6, expected an even multiple of model.heads (4)."),
        ({"width": 9, "heads": 3}, "width: found 9, expected an even multiple of model.heads (3)."),
        ({"kernel": 0}, "kernel: found 0, expected a number of at least 1."),
        (
            {"dropout": 0.996},
            "dropout: found 0.996, expected a number of at least 0 and below 0.996.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=r"found") as error:
        check(dataclasses.replace(AWARE, **settings))
    assert str(error.value) == message


def test_every_pool_is_a_choice():
    assert set(get_args(get_type_hints(ModelOptions)["pool"])) == set(POOLS)


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("pool", "max", "'mean', 'last', 'attention', 'cls'"),
        ("missing_frame", "mean", "'zero', 'learned'"),
    ],
)
def test_unknown_names_are_refused(option, value, choices):
    with pytest.raises(ConfigError) as error:
        parse(make_parser("train", ""), [f"--model.{option}", value])
    assert f"model.{option}" in str(error.value)
    assert f"one of {choices}" in str(error.value)


class Pool(nn.Module):
    """A way to pool by itself, for those that have parameters."""

    name_of_pool: str

    @nn.compact
    def __call__(self, x_btd, mask_bt):
        return POOLS[self.name_of_pool](x_btd, mask_bt)


MASK = jnp.asarray([[1, 0, 1, 1, 0, 0], [0] * 6, [0, 0, 0, 0, 1, 0], [1] * 6], bool)


@pytest.mark.parametrize("name", ["attention", "last", "mean"])
def test_pool_without_the_masked_frames(name):
    """Pooling under a mask is pooling of what it leaves; nothing left gives zeros."""
    pool, x_btd, weight_bd = Pool(name), case.normal(1, B, T, D), case.normal(2, B, D)
    variables = {"params": {"score": {"kernel": case.normal(3, D, 1)}}}

    def value(x_btd):
        pooled_bd = pool.apply(variables if name == "attention" else {}, x_btd, MASK)
        return (pooled_bd * weight_bd).sum(), pooled_bd

    gradient, pooled_bd = jax.jit(jax.grad(value, has_aux=True))(x_btd)
    for b, mask_t in enumerate(np.asarray(MASK)):
        places = np.flatnonzero(mask_t)
        left_sd = np.asarray(x_btd, np.float64)[b, places]
        weights = np.full(len(places), 1 / max(len(places), 1))
        if name == "last":
            weights = 1.0 * (places == places.max(initial=-1))
        elif name == "attention" and len(places):
            weights = softmax(left_sd @ np.asarray(variables["params"]["score"]["kernel"])[:, 0])
        np.testing.assert_allclose(pooled_bd[b], weights @ left_sd, rtol=1e-5, atol=1e-6)
        case.assert_zero(gradient[b, ~mask_t])
        matters = np.abs(gradient[b, places]).max(axis=1) > 0
        np.testing.assert_array_equal(matters, weights > 0)


def test_attention_pool_against_finite_differences():
    with jax.enable_x64(True):
        pool = Pool("attention")
        rng = np.random.default_rng(0)
        x_btd, mask_bt = jnp.asarray(rng.normal(size=(B, T, 3))), jnp.asarray(np.asarray(MASK))
        kernel = jnp.asarray(rng.normal(size=(3, 1)))

        @jax.jit
        def run(kernel, x_btd):
            return pool.apply({"params": {"score": {"kernel": kernel}}}, x_btd, mask_bt)

        assert run(kernel, x_btd).dtype == jnp.float64
        check_grads(run, (kernel, x_btd), order=1, modes=("rev",), atol=1e-6, rtol=1e-6)


def test_masked_mean():
    x_btd = case.normal(1, B, T, 2)
    mean_bd, gradient = (
        jax.jit(masked_mean)(x_btd, OBSERVED),
        jax.grad(lambda x: masked_mean(x, OBSERVED).sum())(x_btd),
    )
    for b, mask_t in enumerate(np.asarray(OBSERVED)):
        expected_d = np.asarray(x_btd)[b, mask_t].mean(axis=0) if mask_t.any() else np.zeros(2)
        np.testing.assert_allclose(mean_bd[b], expected_d, rtol=1e-5, atol=1e-6)
        share = 1 / max(mask_t.sum(), 1)
        np.testing.assert_allclose(gradient[b], share * mask_t[:, None] * np.ones(2), rtol=1e-6)


@every
def test_missing_and_padding_frames_are_not_looked_at(options):
    z_bd, available_b = encode(options, X_BTF)
    np.testing.assert_array_equal(available_b, [1, 0, 1, 1])
    case.assert_zero(z_bd[1])
    changed = encode(options, jnp.where(SEEN[..., None], X_BTF, 1e3))[0]
    np.testing.assert_array_equal(changed, z_bd)
    _, gradient = gradients(options, parameters_of(options), X_BTF, OBSERVED)
    case.assert_zero(gradient[~SEEN])
    assert (np.abs(gradient[SEEN]).max(axis=1) > 0).all()


@pytest.mark.parametrize("name", ["mean", "last", "unaware_attention", "unaware_cls"])
def test_padding_behind_has_no_influence(name):
    options = OPTIONS[name]
    longer_btf = jnp.pad(X_BTF, ((0, 0), (0, 3), (0, 0)), constant_values=7)
    longer_valid, longer_observed = (jnp.pad(mask, ((0, 0), (0, 3))) for mask in (VALID, OBSERVED))
    for observed in (longer_observed, jnp.ones_like(longer_observed)):
        z_bd, _ = encode(options, X_BTF, VALID, observed[:, :T])
        longer_bd, _ = encode(options, longer_btf, longer_valid, observed)
        np.testing.assert_allclose(longer_bd, z_bd, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", sorted(POOLS))
def test_only_the_unaware_encoder_attends_to_missing_frames(pool):
    """With the missing frames counted as valid or as padding: no difference to the aware one."""
    aware = OPTIONS[pool]
    unaware = dataclasses.replace(aware, mask_aware=False)
    parameters = parameters_of(aware)
    of_aware, of_unaware, with_padding = (
        apply(options, parameters, X_BTF, valid, OBSERVED)[0]
        for options, valid in ((aware, VALID), (unaware, VALID), (unaware, SEEN))
    )
    np.testing.assert_allclose(with_padding, of_aware, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encode(aware, X_BTF, SEEN)[0], of_aware, rtol=1e-5, atol=1e-6)
    assert np.abs(of_unaware - of_aware)[SOME].max() > 1e-2


@every
def test_nothing_observed_gives_no_gradient_to_the_parameters(options):
    parameters = parameters_of(options)
    case.assert_zero(gradients(options, parameters, X_BTF, jnp.zeros_like(OBSERVED)))
    for leaf in jax.tree.leaves(gradients(options, parameters, X_BTF, OBSERVED)[0]):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_one_observed_frame_is_pooled_alike():
    """Mean, last frame and attention over one frame are that frame."""
    options = OPTIONS["attention"]
    parameters = parameters_of(options)
    one = jnp.asarray(np.arange(T)[None] == np.asarray([0, 3, 2, 3])[:, None])
    of_attention, *others = (
        apply(dataclasses.replace(options, pool=pool), parameters, X_BTF, VALID, one)[0]
        for pool in ("attention", "last", "mean")
    )
    assert np.abs(of_attention).min(axis=1).max() > 1e-3
    for other in others:
        np.testing.assert_allclose(other, of_attention, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["attention", "cls"])
def test_a_sequence_of_one_frame(pool):
    options, parameters = OPTIONS[pool], parameters_of(OPTIONS[pool])
    masks = jnp.asarray([[1], [1], [0], [1]], bool), jnp.asarray([[1], [0], [1], [1]], bool)
    z_bd, available_b = apply(options, parameters, X_BTF[:, :1], *masks)
    np.testing.assert_array_equal(available_b, [1, 0, 0, 1])
    for b in range(B):
        sample = (np.asarray(X_BTF)[b, :1], np.asarray(masks[0])[b], np.asarray(masks[1])[b])
        expected = reference_encode(options, parameters, *sample)
        np.testing.assert_allclose(z_bd[b], expected, rtol=1e-4, atol=1e-5)


def test_a_learned_frame_of_zeros_is_a_missing_frame():
    learned = parameters_of(LEARNED) | {"missing_frame": jnp.zeros(F)}
    plain = {name: leaf for name, leaf in learned.items() if name != "missing_frame"}
    for options in (AWARE, UNAWARE):
        other = dataclasses.replace(options, missing_frame="learned")
        np.testing.assert_array_equal(
            apply(other, learned, X_BTF, VALID, OBSERVED)[0],
            apply(options, plain, X_BTF, VALID, OBSERVED)[0],
        )


def test_a_learned_frame_acts_like_features_of_missing_frames():
    """An encoder that looks at all valid frames cannot tell it from an observed frame."""
    parameters = parameters_of(LEARNED)
    options = dataclasses.replace(LEARNED, mask_aware=False)
    filled_btf = jnp.where(MISSING[..., None], parameters["missing_frame"][None, None], X_BTF)
    z_bd = apply(options, parameters, X_BTF, VALID, OBSERVED)[0]
    of_filled_bd = apply(options, parameters, filled_btf, VALID, VALID)[0]
    np.testing.assert_allclose(z_bd[SOME], of_filled_bd[SOME], rtol=1e-5, atol=1e-6)
    case.assert_zero(z_bd[1])
    assert np.abs(of_filled_bd[1]).max() > 0


def test_when_a_learned_frame_matters():
    """Aware: only where the convolution reaches it from an observed frame. Unaware: anywhere."""
    whole = jnp.ones_like(VALID)
    rows = {"whole": [1] * 6, "nothing": [0] * 6, "neighbour": [1] * 5 + [0], "far": [1] + [0] * 5}

    def changes(options, valid_bt, row):
        parameters = parameters_of(options)
        other = parameters | {"missing_frame": parameters["missing_frame"] + 1}
        observed_bt = jnp.tile(jnp.asarray([row], bool), (B, 1))
        one, two = (apply(options, p, X_BTF, valid_bt, observed_bt)[0] for p in (parameters, other))
        return bool((one != two).any())

    for mask_aware in (True, False):
        options = dataclasses.replace(LEARNED, mask_aware=mask_aware)
        found = {name: changes(options, whole, row) for name, row in rows.items()}
        assert found == {"whole": False, "nothing": False, "neighbour": True, "far": True}
        padding = jnp.tile(jnp.asarray([rows["neighbour"]], bool), (B, 1))
        assert not changes(options, padding, rows["neighbour"])
    narrow = dataclasses.replace(LEARNED, kernel=1)
    assert not changes(narrow, whole, rows["neighbour"])


def test_samples_do_not_see_each_other():
    z_bd, _ = encode(AWARE, X_BTF)
    changed, _ = encode(AWARE, X_BTF.at[0].add(1.0))
    np.testing.assert_array_equal(changed[1:], z_bd[1:])
    assert np.abs(changed[0] - z_bd[0]).max() > 1e-2


def test_the_order_of_the_frames_matters():
    whole = jnp.ones_like(VALID)
    z_bd, _ = encode(AWARE, X_BTF, whole, whole)
    other, _ = encode(AWARE, X_BTF[:, ::-1], whole, whole)
    assert np.abs(z_bd - other).min() > 1e-5


def test_dropout_in_training():
    encoder = case.OneModality(dataclasses.replace(AWARE, dropout=0.5))

    @jax.jit
    def run(key):
        rngs = {"dropout": key}
        variables = {"params": parameters_of(AWARE)}
        return encoder.apply(variables, X_BTF, VALID, OBSERVED, train=True, rngs=rngs)[0]

    one, other = run(jax.random.key(0)), run(jax.random.key(1))
    assert np.abs(one - other)[0].max() > 1e-2
    case.assert_zero(one[1])


def test_feature_dropout_takes_a_feature_from_all_frames_of_a_sample():
    """With an identity in place of the encoder: the mean of the frames shows what was dropped."""
    options = dataclasses.replace(AWARE, dropout=0.0, feature_dropout=0.5)
    wide_btf = jnp.ones((64, T, 50))
    seen = jnp.ones((64, T), bool)
    captured = {}

    def convolution(next_call, arguments, keywords, context):
        if type(context.module).__name__ == "FrameConvolution":
            captured["x"] = arguments[0]
        return next_call(*arguments, **keywords)

    encoder = case.OneModality(options)
    parameters = case.parameters_of(encoder, wide_btf, seen, seen, train=False)
    with nn.intercept_methods(convolution):
        for train in (True, False):
            rngs = {"dropout": jax.random.key(3)}
            encoder.apply({"params": parameters}, wide_btf, seen, seen, train=train, rngs=rngs)
            found = np.asarray(captured["x"])
            if not train:
                np.testing.assert_array_equal(found, wide_btf)
                continue
            np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
            assert set(np.unique(found)) == {0, 2}  # what stays is scaled up: the mean holds
            assert abs((found == 0).mean() - 0.5) < 0.02
            assert np.ptp((found[:, 0] == 0).mean(axis=1)) > 0.1  # each sample draws its own


def test_the_scale_of_the_initial_weights_is_that_of_the_convolution_alone():
    usual, small = (
        initialise(
            case.OneModality(dataclasses.replace(AWARE, input_scale=scale)),
            jax.random.key(0),
            *(X_BTF, VALID, OBSERVED),
            train=False,
        )
        for scale in (1.0, 0.1)
    )
    convolution = small["frames"].pop("kernel")
    np.testing.assert_allclose(convolution, 0.1 * usual["frames"]["kernel"], rtol=1e-6)
    same = dict(usual, frames={k: v for k, v in usual["frames"].items() if k != "kernel"})
    for found, expected in zip(jax.tree.leaves(small), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(found, expected)


# The order of a dictionary must not matter; the modalities differ in frames and features.
FEATURES = {"language": X_BTF, "audio": case.normal(5, B, 3, 2)}
VALID_OF = {"language": VALID, "audio": jnp.asarray([[1] * 3, [1] * 3, [1, 0, 0], [0] * 3], bool)}
OBSERVED_OF = {"language": OBSERVED, "audio": jnp.ones((B, 3), bool)}


def test_encoders_are_those_of_the_sorted_modalities_stacked():
    encoders = Encoders(AWARE)
    inputs = FEATURES, VALID_OF, OBSERVED_OF
    parameters = case.parameters_of(encoders, *inputs, train=False)
    assert set(parameters) == {"audio", "language"}
    z_mbd, available_mb = jax.jit(partial(encoders.apply, train=False))(
        {"params": parameters}, *inputs
    )
    assert z_mbd.shape == (2, B, D)
    assert available_mb.dtype == jnp.float32
    for i, m in enumerate(["audio", "language"]):
        alone_bd, available_b = apply(AWARE, parameters[m], *(x[m] for x in inputs))
        np.testing.assert_allclose(z_mbd[i], alone_bd, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(available_mb[i], available_b)


AT_ONCE = {
    "two blocks": dataclasses.replace(AWARE, encoder_layers=2),
    "class token": dataclasses.replace(LEARNED, pool="cls", feature_dropout=0.3),
    "computed again": dataclasses.replace(AWARE, recompute=True),
}


@pytest.mark.parametrize("options", AT_ONCE.values(), ids=AT_ONCE)
def test_modalities_of_one_shape_at_once_are_those_one_after_the_other(options, monkeypatch):
    """Codes, gradients and what is dropped, as on an accelerator; audio has a shape of its own."""
    encoders = Encoders(dataclasses.replace(options, dropout=0.4), {"text": VOCABULARY})
    features = FEATURES | {"vision": case.normal(6, B, T, 4), "text": IDS[..., None]}
    masks = (x | dict.fromkeys(("vision", "text"), x["language"]) for x in (VALID_OF, OBSERVED_OF))
    inputs = features, *masks
    parameters = case.parameters_of(encoders, *inputs, train=False)

    def program():
        def of(parameters):
            rngs = {"dropout": jax.random.key(4)}
            given = {"params": parameters}, *inputs
            z_mbd, _ = encoders.apply(*given, train=True, rngs=rngs)
            return (z_mbd * case.normal(3, *z_mbd.shape)).sum(), z_mbd

        return jax.jit(jax.grad(of, has_aux=True))

    of_one_cache = []
    for one_cache in (True, False):
        monkeypatch.setattr("fsrf_jax.models.encoder.one_cache", lambda *_, known=one_cache: known)
        of_one_cache.append(program().lower(parameters))
    separately, at_once = of_one_cache
    products, fewer = (x.as_text().count("stablehlo.dot_general") for x in (separately, at_once))
    assert fewer < 0.7 * products
    found, expected = (x.compile()(parameters) for x in (at_once, separately))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-5)


def test_an_absent_modality_gives_its_encoder_no_gradient():
    encoders = Encoders(AWARE)
    nothing = OBSERVED_OF | {"audio": jnp.zeros((B, 3), bool)}
    parameters = case.parameters_of(encoders, FEATURES, VALID_OF, nothing, train=False)

    @jax.jit
    @jax.grad
    def gradient(parameters):
        variables = {"params": parameters}
        z_mbd, _ = encoders.apply(variables, FEATURES, VALID_OF, nothing, train=False)
        return (z_mbd * case.normal(3, *z_mbd.shape)).sum()

    found = gradient(parameters)
    case.assert_zero(found["audio"])
    assert case.largest(found["language"]) > 0


VOCABULARY = 7
IDS = jnp.asarray([[2, 3, 4, 5, 2, 9], [3] * 6, [0, 0, 5, 2, 3, 7], [3, 4, 2, 6, 0, 0]], jnp.int32)


@pytest.mark.parametrize("missing_frame", ["zero", "learned"])
def test_token_ids_are_rows_of_the_embedding(missing_frame):
    """The encoder of ids is that of features which are the rows; ids beyond the last have row 1."""
    options = dataclasses.replace(AWARE, missing_frame=missing_frame)
    ids_btf, masks = IDS[..., None], (VALID, OBSERVED)
    encoder = case.OneModality(options, VOCABULARY)
    parameters = case.parameters_of(encoder, ids_btf, *masks, train=False)
    table_vd = parameters["embedding"]
    assert table_vd.shape == (VOCABULARY, D)
    rows_btd = jnp.asarray(np.asarray(table_vd)[np.where(IDS < VOCABULARY, IDS, UNKNOWN)])
    numbers = {name: leaf for name, leaf in parameters.items() if name != "embedding"}
    expected_bd, available_b = apply(options, numbers, rows_btd, *masks)
    variables = {"params": parameters}
    z_bd, found_b = jax.jit(partial(encoder.apply, train=False))(variables, ids_btf, *masks)
    np.testing.assert_allclose(z_bd, expected_bd, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found_b, available_b)
    assert np.abs(z_bd[SOME]).max(axis=1).min() > 0.1


def test_the_embedding_against_finite_differences():
    with jax.enable_x64(True):
        encoder = case.OneModality(LEARNED, VOCABULARY)
        ids_btf, valid, observed = (
            jnp.asarray(np.asarray(x)) for x in (IDS[..., None], VALID, OBSERVED)
        )
        masks = valid, observed
        parameters = case.parameters_of(encoder, ids_btf, *masks, train=False)
        parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), parameters)

        @jax.jit
        def run(embedding):
            variables = {"params": parameters | {"embedding": embedding}}
            return encoder.apply(variables, ids_btf, *masks, train=False)[0]

        assert run(parameters["embedding"]).dtype == jnp.float64
        check_grads(run, (parameters["embedding"],), order=1, modes=("rev",), atol=1e-5, rtol=1e-5)
        gradient = jax.jit(jax.grad(lambda e: (run(e) ** 3).sum()))(parameters["embedding"])
        seen = np.asarray(IDS)[np.asarray(SEEN)]
        rows = np.flatnonzero(np.abs(gradient).max(axis=1))
        assert rows.tolist() == sorted({UNKNOWN if i >= VOCABULARY else i for i in seen.tolist()})

"""`fsrf_jax.options`: ranges and messages, and the line between what compiles and what does not.

(The name test_options.py belongs to the end-to-end tests: pytest wants every name once.)
"""

import dataclasses
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf_jax.losses import Task
from fsrf_jax.methods import Fsrf
from fsrf_jax.methods.fsrf import Weights
from fsrf_jax.missing import Missing
from fsrf_jax.models.options import ModelOptions
from fsrf_jax.options import check, expect, merge, number, numbers, prefixed, split, within
from fsrf_jax.training.optimizer import OptimizerOptions
from fsrf_jax.training.state import Recipe


@dataclass(frozen=True)
class Inner:
    rate: float = number(0.5, 0, 1, below=True)
    weights: dict[str, float] = numbers({"a": 1.0, "b": 2.0})  # noqa: RUF009
    kind: str = "plain"
    size: int = within(4, 1, 8)
    open: float = within(0.0, -2.5)

    def check(self):
        expect(self.kind != "bad", "kind", self.kind, "plain")
        expect(self.size != 5 or self.rate < 0.5, "size", self.size, "not 5, because of inner.rate")


@dataclass(frozen=True)
class Middle:
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Outer:
    middle: Middle = field(default_factory=Middle)
    inner: Inner = field(default_factory=Inner)
    scale: float = number(2.0, 0)
    odds: dict[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ("x", "y")
    free: float = 0.25

    def check(self):
        expect(len(self.names) > 0, "names", self.names, "one or more")
        expect(len(self.names) < 3, "names", self.names, "at most two")


FLOATS = st.floats(0, 1e6, width=32)
MAPPINGS = st.dictionaries(st.text(max_size=4), FLOATS, max_size=4)
INNERS = st.builds(
    Inner,
    rate=FLOATS,
    weights=MAPPINGS,
    kind=st.sampled_from(["plain", "other"]),
    size=st.integers(1, 8),
)
OUTERS = st.builds(
    Outer,
    middle=st.builds(Middle, INNERS),
    inner=INNERS,
    scale=FLOATS,
    odds=st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.0, 1.0]), max_size=3),
    names=st.lists(st.sampled_from("xyz")).map(tuple),
)


def plain(options):
    """Nested dictionaries of Python numbers, whatever holds them."""
    if dataclasses.is_dataclass(options):
        return {f.name: plain(getattr(options, f.name)) for f in dataclasses.fields(options)}
    if hasattr(options, "items"):
        return {name: plain(value) for name, value in options.items()}
    return float(options) if isinstance(options, jax.Array) else options


@settings(max_examples=50)
@given(OUTERS)
def test_merge_is_the_inverse_of_split(options):
    static, hyper = split(options)
    assert all(x.shape == () and x.dtype == jnp.float32 for x in hyper.values())
    assert not any(x.weak_type for x in hyper.values())
    assert plain(merge(static, hyper)) == plain(options)
    again, same = split(merge(static, hyper))
    assert again == static
    assert same == hyper
    assert split(static)[0] == static


@given(OUTERS, st.randoms(use_true_random=False))
def test_the_static_part_is_equal_whatever_the_numbers_and_the_order(options, random):
    def other(mapping):
        keys = list(mapping)
        random.shuffle(keys)
        return {key: random.random() for key in keys}

    def changed(inner):
        return dataclasses.replace(inner, rate=random.random(), weights=other(inner.weights))

    turned = Outer(
        middle=Middle(changed(options.middle.inner)),
        inner=changed(options.inner),
        scale=random.random(),
        odds=dict(reversed(options.odds.items())),
        names=tuple(options.names),
    )
    static, hyper = split(options)
    found, found_hyper = split(turned)
    assert found == static
    assert hash(found) == hash(static)
    assert found_hyper.keys() == hyper.keys()


@pytest.mark.parametrize(
    "changed",
    [
        {"inner": Inner(kind="other")},
        {"inner": Inner(size=5)},
        {"inner": Inner(open=1.0)},
        {"inner": Inner(weights={"a": 1.0})},
        {"inner": Inner(weights={"a": 1.0, "b": 2.0, "c": 0.0})},
        {"inner": Inner(weights={"a": 1.0, "c": 2.0})},
        {"inner": Inner(weights={})},
        {"middle": Middle(Inner(kind="other"))},
        {"odds": {"a": 1.0}},
        {"names": ("y", "x")},
        {"free": 0.5},
    ],
)
def test_the_static_part_differs_where_a_static_option_does(changed):
    assert split(Outer(**changed))[0] != split(Outer())[0]


def test_static_mappings_are_compared_with_their_values():
    odds = [{"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, {"a": 2.0, "b": 1.0}]
    one, same, other = (split(Outer(odds=o))[0] for o in odds)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_names_and_numbers():
    options = Outer(middle=Middle(Inner(0.125)), inner=Inner(weights={"z": 3.0, "m.n": 4.0}))
    static, hyper = split(options)
    assert {name: float(value) for name, value in hyper.items()} == {
        "middle.inner.rate": 0.125,
        "middle.inner.weights.a": 1,
        "middle.inner.weights.b": 2,
        "inner.rate": 0.5,
        "inner.weights.m.n": 4,
        "inner.weights.z": 3,
        "scale": 2,
    }
    assert static.middle.inner.rate == 0.5
    assert dict(static.inner.weights) == {"m.n": 0, "z": 0}
    assert static.free == 0.25  # not marked: a number that is static


def test_two_dataclasses_of_one_look_do_not_mix():
    """`inner` is a section of both, and the name of one begins with the name of the other."""

    @dataclass(frozen=True)
    class Both:
        a: Inner = field(default_factory=Inner)
        a_b: Inner = field(default_factory=Inner)
        a_b_rate: float = number(1.0, 0)

    options = Both(Inner(0.1), Inner(0.2), 0.3)
    np.testing.assert_allclose(
        [(m := merge(*split(options))).a.rate, m.a_b.rate, m.a_b_rate], [0.1, 0.2, 0.3], rtol=1e-6
    )


def test_merged_arrays_reach_a_compiled_function_without_another_trace():
    traced = []

    def used(static, hyper):
        traced.append(static)
        options = merge(static, hyper)
        weights = options.inner.weights
        return options.scale * options.inner.rate + sum(weights[k] * (k == "b") for k in weights)

    compiled = jax.jit(used, static_argnums=0)
    for scale, rate, b in ((1.0, 0.5, 0.0), (3.0, 0.25, 7.0), (0.0, 0.0, 1.0)):
        for weights in ({"a": 9.0, "b": b}, {"b": b, "a": 8.0}):
            found = compiled(*split(Outer(inner=Inner(rate, weights), scale=scale)))
            assert found == scale * rate + b
    assert len(traced) == 1
    compiled(*split(Outer(inner=Inner(kind="other"))))
    assert len(traced) == 2


def test_arrays_of_members_are_merged_inside_vmap():
    hypers = [split(Outer(scale=s))[1] for s in (1.0, 2.0, 3.0)]
    static = split(Outer())[0]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *hypers)
    found = jax.vmap(lambda hyper: merge(static, hyper).scale)(stacked)
    np.testing.assert_array_equal(found, [1, 2, 3])


def recipe(**changed):
    usual = Recipe(
        method=Fsrf(),
        task=Task("l1"),
        model=ModelOptions(),
        missing=Missing(),
        optimizer=OptimizerOptions(),
        steps_per_epoch=3,
        epochs=5,
    )
    return dataclasses.replace(usual, **changed)


NUMBERS = {
    "epochs": 5,
    "patience": 0,
    "missing.max_rate": 1.0,
    "missing.whole_share": 0.0,
    "optimizer.warmup": 0.1,
    "method.distillation.temperature": 1.0,
    "method.distillation.warmup": 0.0,
    "method.heterogeneous.bandwidth": 0.5,
    "method.heterogeneous.temperature": 0.1,
    "method.measures.blur": 0.1,
    "method.measures.gaussian_floor": 1e-3,
    "method.measures.temperature": 0.1,
    "method.noise.bound": 3.0,
    "method.noise.floor": 1.0,
    "method.weights.feature_distillation.mmd": 0.1,
    "method.weights.feature_distillation.mse": 1.0,
    "method.weights.heterogeneous": 0.03,
    "method.weights.homogeneous": 0.03,
    "method.weights.noise": 0.03,
    "method.weights.prediction_distillation": 0.03,
    "method.weights.reconstruction": 1.0,
    "method.weights.redundancy": 0.1,
    "method.weights.variance_floor": 0.1,
    "model.dropout": 0.1,
    "optimizer.average": 0.0,
    "optimizer.clip_norm": 1.0,
    "optimizer.learning_rate": 1e-3,
    "optimizer.weight_decay": 1e-4,
}


def test_the_numbers_of_a_recipe_golden():
    """Everything else compiles anew: adding to this list, or taking from it, is a decision."""
    _, hyper = split(recipe())
    assert {name: float(value) for name, value in hyper.items()} == {
        name: float(np.float32(value)) for name, value in NUMBERS.items()
    }


def test_a_switch_is_static_where_it_is_off():
    def of(rate):
        return split(ModelOptions(feature_dropout=rate))

    off, numbers = of(0.0)
    assert "feature_dropout" not in numbers
    assert merge(off, numbers).feature_dropout == 0.0
    (half, numbers), (more, _) = of(0.5), of(0.75)
    assert half == more != off
    assert merge(half, numbers).feature_dropout == numbers["feature_dropout"] == 0.5


def marked(options, prefix=""):
    """Names of the fields that are marked as numbers, found without `split`."""
    found = set()
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            found |= marked(value, f"{prefix}{item.name}.")
        elif item.metadata.get("number"):
            names = (
                [f".{k}" for k in value] if isinstance(item.default_factory, type(marked)) else [""]
            )
            found |= {f"{prefix}{item.name}{name}" for name in names}
    return found


def test_only_what_is_marked_is_a_number():
    _, hyper = split(recipe(model=ModelOptions(feature_dropout=0.5)))
    assert set(hyper) == marked(recipe())


def test_recipes_are_equal_exactly_if_their_static_parts_are():
    usual, _ = split(recipe())
    weights = Weights(noise=5.0, feature_distillation={"mse": 1.0, "mmd": 0.0})
    same = [
        recipe(method=Fsrf(weights=weights)),
        recipe(model=ModelOptions(dropout=0.5)),
        recipe(optimizer=OptimizerOptions(1.0, 1.0, clip_norm=9.0)),
        recipe(optimizer=OptimizerOptions(warmup=0.2)),
        recipe(missing=Missing(subset_weights={})),
        recipe(missing=Missing(max_rate=0.5, whole_share=0.5)),
        recipe(epochs=6),
        recipe(patience=1),
    ]
    for other in same:
        static, _ = split(other)
        assert static == usual
        assert hash(static) == hash(usual)
    weights = Weights(feature_distillation={"mse": 1.0})
    others = [
        recipe(method=Fsrf(weights=weights)),
        recipe(method=Fsrf(complete_view=True)),
        recipe(model=ModelOptions(width=44)),
        recipe(missing=Missing(subset_weights={"a": 1.0})),
        recipe(task=Task("mse")),
        recipe(task=Task("l1", 2)),
        recipe(steps_per_epoch=4),
        recipe(freeze=("head",)),
    ]
    assert len({usual, *(split(other)[0] for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Inner(rate=-0.1), "rate: found -0.1, expected a number of at least 0 and below 1."),
        (Inner(rate=1.0), "rate: found 1.0, expected a number of at least 0 and below 1."),
        (Inner(rate=math.nan), "rate: found nan, expected a number of at least 0 and below 1."),
        (Inner(rate=math.inf), "rate: found inf, expected a number of at least 0 and below 1."),
        (Inner(size=0), "size: found 0, expected a number of at least 1 and at most 8."),
        (Inner(size=9), "size: found 9, expected a number of at least 1 and at most 8."),
        (Inner(open=-3.0), "open: found -3.0, expected a number of at least -2.5."),
        (Inner(open=math.inf), "open: found inf, expected a number of at least -2.5."),
        (Inner(open=-math.inf), "open: found -inf, expected a number of at least -2.5."),
        (
            Inner(weights={"a": 1.0, "b": -1.0}),
            "weights.b: found -1.0, expected a number of at least 0.",
        ),
        (
            Inner(weights={"a": math.nan, "b": -1.0}),
            "weights.a: found nan, expected a number of at least 0.",
        ),
        (Inner(weights={"c": math.inf}), "weights.c: found inf, expected a number of at least 0."),
        (Inner(kind="bad"), "kind: found 'bad', expected plain."),
        (
            Inner(kind="bad", size=9),
            "size: found 9, expected a number of at least 1 and at most 8.",
        ),
        (Inner(size=5), "size: found 5, expected not 5, because of inner.rate."),
        (Outer(scale=-1.0), "scale: found -1.0, expected a number of at least 0."),
        (Outer(names=()), "names: found [], expected one or more."),
        (Outer(names=("a", "b", "c")), "names: found ['a', 'b', 'c'], expected at most two."),
        (
            Outer(inner=Inner(rate=2.0)),
            "inner.rate: found 2.0, expected a number of at least 0 and below 1.",
        ),
        (Outer(inner=Inner(kind="bad")), "inner.kind: found 'bad', expected plain."),
        (
            Outer(middle=Middle(Inner(weights={"b": -2.0}))),
            "middle.inner.weights.b: found -2.0, expected a number of at least 0.",
        ),
        (
            Outer(middle=Middle(Inner(kind="bad")), scale=-1.0),
            "middle.inner.kind: found 'bad', expected plain.",
        ),
        (recipe(model=ModelOptions(dropout=-1.0)), None),
        (recipe(method=Fsrf(weights=Weights(noise=-1.0))), None),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match="found") as caught:
        check(options)
    if message is None:
        assert str(caught.value).startswith(("model.dropout: ", "method.weights.noise: "))
    else:
        assert str(caught.value) == message


@pytest.mark.parametrize(
    "options",
    [
        Outer(),
        Inner(rate=0.0),
        Inner(rate=math.nextafter(1, 0)),
        Inner(size=1),
        Inner(size=8),
        Inner(open=-2.5),
        Inner(open=1e30),
        Inner(weights={}),
        Inner(weights={"a": 0.0}),
        Inner(size=5, rate=0.25),
        recipe(),
        split(Outer())[0],
    ],
)
def test_what_fits_passes(options):
    check(options)


def test_expect():
    expect(True, "a", 1, "anything")
    with pytest.raises(ValueError, match=r"^a: found \[1, 'b'\], expected c\.$"):
        expect(False, "a", (1, "b"), "c")


def test_prefixed():
    with pytest.raises(ValueError, match=r"^a\.b\.c: found 1, expected 2\.$") as caught:  # noqa: SIM117
        with prefixed("a"), prefixed("b"):
            expect(False, "c", 1, "2")
    assert isinstance(caught.value.__cause__, ValueError)
    with prefixed("a"):
        pass
    with pytest.raises(KeyError, match=r"^'c'$"), prefixed("a"):
        raise KeyError("c")


def test_a_mapping_does_not_share_its_default():
    one, other = Inner(), Inner()
    one.weights["a"] = 5.0
    assert other.weights == {"a": 1.0, "b": 2.0}
    assert Inner().weights == {"a": 1.0, "b": 2.0}

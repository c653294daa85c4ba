import dataclasses
import hashlib
import itertools
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from fsrf_jax.missing import (
    Missing,
    Uniforms,
    completeness,
    draw_uniforms,
    keyed_uniforms,
    observe,
    observe_at,
    random_view,
)
from fsrf_jax.options import check, merge, split

LENGTHS = {"language": 4, "audio": 6, "vision": 5}
NAMES = tuple(LENGTHS)
SUBSETS = [
    frozenset(names)
    for names in (
        ["language"],
        ["audio"],
        ["vision"],
        ["language", "audio"],
        ["language", "vision"],
        ["audio", "vision"],
        NAMES,
    )
]
ALWAYS_ALL = {"language+audio+vision": 1.0}
WHOLE = Missing(max_rate=0.0)
KEY = jax.random.key(0)

view_of = jax.jit(random_view, static_argnames="missing")
observe_of = jax.jit(observe, static_argnames="missing")


def all_valid(b, lengths=LENGTHS):
    return {m: np.ones((b, t), bool) for m, t in lengths.items()}


def some_valid(seed, b, density=0.6):
    """Any pattern: padding in front, behind and in the middle, absent modalities, empty samples."""
    rng = np.random.default_rng(seed)
    has_bm = rng.random((b, len(NAMES))) < 0.8
    return {
        m: (rng.random((b, t)) < density) & has_bm[:, i : i + 1]
        for i, (m, t) in enumerate(LENGTHS.items())
    }


def subset_shares(view):
    """Share of the samples that have each subset of the modalities."""
    available = {m: np.asarray(o).any(axis=1) for m, o in view.items()}
    found = [frozenset(m for m in view if available[m][i]) for i in range(len(view["audio"]))]
    return {subset: found.count(subset) / len(found) for subset in set(found)}


def reference_observe(uniforms, valid, rules):
    """The rules once more, sample by sample."""
    names = sorted(valid)
    u = jax.tree.map(np.asarray, uniforms)
    observed = {m: np.zeros_like(v) for m, v in valid.items()}
    for i in range(len(u.subset)):
        has = {m for m in names if valid[m][i].any()}
        subsets = [
            {m for bit, m in enumerate(reversed(names)) if number >> bit & 1}
            for number in range(1, 2 ** len(names))
        ]
        subsets = [subset for subset in subsets if subset <= has]
        weights = [1.0] * len(subsets)
        if rules.modality_rate is not None:
            weights = [keep_one_probability(subset, has, names, rules) for subset in subsets]
        if rules.subset_weights:
            odds = {frozenset(s.split("+")): weight for s, weight in rules.subset_weights.items()}
            named = [odds.get(frozenset(subset), 0.0) for subset in subsets]
            weights = named if sum(named) > 0 else weights
        if not subsets:
            continue
        ends = np.cumsum(weights) / np.sum(weights)
        chosen = subsets[int(np.searchsorted(ends, u.subset[i], side="right"))]
        frames = []
        for m in sorted(chosen):
            rate, number = (
                np.float32(rules.max_rate),
                u.rate[names[0] if rules.shared_rate else m][i],
            )
            if number < rules.whole_share:
                rate *= 0
            elif not rules.fixed_rate:
                rate *= (number - np.float32(rules.whole_share)) / np.float32(1 - rules.whole_share)
            places = np.flatnonzero(valid[m][i])
            if rules.pattern == "block":
                size = round(float(rate) * len(places))
                start = int(u.frames[m][i, 0] * (len(places) - size + 1))
                kept = [t for k, t in enumerate(places) if not start <= k < start + size]
            else:
                kept = [t for t in places if u.frames[m][i, t] >= rate]
            observed[m][i, kept] = True
            frames += [(u.frames[m][i, t], m, t) for t in places]
        if not any(o[i].any() for o in observed.values()):
            _, m, t = max(frames)
            observed[m][i, t] = True
    return observed


def keep_one_probability(subset, has, names, rules):
    """Over all that may be kept: of h modalities one stays, the others go with one probability."""
    drop = min(1.0, rules.modality_rate * len(names) / (len(names) - 1))
    chances = [
        np.prod([1 - drop if m in subset else drop for m in has if m != kept])
        for kept in has
        if kept in subset
    ]
    return float(sum(chances) / len(has))


RULES = {
    "frames": Missing(max_rate=0.5),
    "shared": Missing(
        shared_rate=True,
        subset_weights={"language": 1.0, "vision+audio": 3.0, "language+audio+vision": 0.0},
    ),
    "block": Missing(pattern="block"),
    "fixed": Missing(max_rate=0.7, fixed_rate=True),
    "whole": Missing(max_rate=0.8, whole_share=0.5, modality_rate=0.0),
    "modalities": Missing(max_rate=0.4, fixed_rate=True, whole_share=0.25, modality_rate=0.4),
}


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_against_a_loop_over_the_samples(self):
        valid = some_valid(0, 300)
        uniforms = draw_uniforms(jax.random.key(1), valid)
        for rules in RULES.values():
            view = self.variant(partial(observe, missing=rules))(uniforms, valid)
            chex.assert_trees_all_equal(view, reference_observe(uniforms, valid, rules))


def test_the_order_of_the_modalities_does_not_matter():
    valid = some_valid(0, 300)
    other = {m: valid[m] for m in reversed(NAMES)}
    key, rules = jax.random.key(1), RULES["shared"]
    views = [function(key, v, rules) for function in (random_view, view_of) for v in (valid, other)]
    for view in views[1:]:
        chex.assert_trees_all_equal(view, views[0])


def test_every_subset_alike():
    n = 20_000
    shares = subset_shares(view_of(jax.random.key(0), all_valid(n), WHOLE))
    assert set(shares) == set(SUBSETS)
    assert chisquare([n * shares[s] for s in SUBSETS]).pvalue > 1e-3


def test_subsets_are_drawn_from_what_a_sample_has():
    n = 20_000
    valid = all_valid(n) | {"audio": np.zeros((n, LENGTHS["audio"]), bool)}
    shares = subset_shares(view_of(jax.random.key(0), valid, WHOLE))
    expected = [s for s in SUBSETS if "audio" not in s]
    assert set(shares) == set(expected)
    assert chisquare([n * shares[s] for s in expected]).pvalue > 1e-3


def test_subset_weights():
    rules = Missing(
        max_rate=0.0,
        subset_weights={"language": 1.0, "vision+audio": 3.0, "audio": 0.0},
    )
    shares = subset_shares(view_of(jax.random.key(0), all_valid(20_000), rules))
    assert set(shares) == {frozenset(["language"]), frozenset(["audio", "vision"])}
    np.testing.assert_allclose(shares[frozenset(["language"])], 0.25, atol=0.01)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_share_of_missing_modalities(rate):
    """Each subset is as likely as the rules say; at most two of three modalities are missing."""
    n, rules = 20_000, Missing(max_rate=0.0, modality_rate=rate)
    shares = subset_shares(view_of(jax.random.key(0), all_valid(n), rules))
    expected = {s: keep_one_probability(s, set(NAMES), NAMES, rules) for s in SUBSETS}
    np.testing.assert_allclose(sum(expected.values()), 1)
    assert set(shares) == {s for s in SUBSETS if expected[s] > 0}
    for subset, share in shares.items():
        assert abs(share - expected[subset]) < 5 * (0.25 / n) ** 0.5
    missing = sum(share * (1 - len(subset) / 3) for subset, share in shares.items())
    np.testing.assert_allclose(missing, min(rate, 2 / 3), atol=0.01)


def test_no_modality_is_lost_at_modality_rate_0_whatever_a_sample_has():
    valid = some_valid(4, 300)
    view = observe_of(draw_uniforms(KEY, valid), valid, Missing(max_rate=0.0, modality_rate=0.0))
    chex.assert_trees_all_equal(view, valid)


def test_each_other_modality_goes_alike_where_a_sample_has_two():
    n = 20_000
    valid = all_valid(n) | {"audio": np.zeros((n, LENGTHS["audio"]), bool)}
    rules = Missing(max_rate=0.0, modality_rate=0.4)  # 0.6 of the others
    shares = subset_shares(view_of(jax.random.key(0), valid, rules))
    for subset, share in ((["language"], 0.3), (["vision"], 0.3), (["language", "vision"], 0.4)):
        assert abs(shares[frozenset(subset)] - share) < 5 * (0.25 / n) ** 0.5


@pytest.mark.parametrize("whole", [0.0, 0.5, 1.0])
def test_share_of_whole_modalities(whole):
    """A rate from U(0, 1) leaves all of t frames with probability 1 / (t + 1)."""
    n, t = 10_000, 9
    rules = Missing(whole_share=whole, modality_rate=0.0)
    valid = all_valid(n, dict.fromkeys(NAMES, t))
    complete = [np.asarray(o).all(axis=1) for o in view_of(KEY, valid, rules).values()]
    for complete_b in complete:
        expected = whole + (1 - whole) / (t + 1)
        assert abs(complete_b.mean() - expected) < 5 * (0.25 / n) ** 0.5
    if whole == 0.5:
        assert np.abs(correlations(complete)).max() < 5 / n**0.5


def test_a_sample_without_any_weighted_subset_draws_from_all_it_has():
    rules = Missing(max_rate=0.0, subset_weights={"language": 1.0})
    n = 10_000
    valid = all_valid(n) | {"language": np.zeros((n, LENGTHS["language"]), bool)}
    shares = subset_shares(view_of(jax.random.key(0), valid, rules))
    expected = [s for s in SUBSETS if "language" not in s]
    assert set(shares) == set(expected)
    assert chisquare([n * shares[s] for s in expected]).pvalue > 1e-3


@pytest.mark.parametrize("number", [0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))])
def test_the_ends_of_the_unit_interval_give_a_possible_subset(number):
    for odds in ({}, {"language": 0.1, "audio": 0.7, "vision": 0.2}):
        rules = Missing(max_rate=0.0, subset_weights=odds)
        uniforms = jax.tree.map(
            lambda x: np.full(x.shape, number, np.float32),
            draw_uniforms(jax.random.key(0), all_valid(1)),
        )
        (subset,) = subset_shares(observe_of(uniforms, all_valid(1), rules))
        assert subset in ({frozenset([name]) for name in odds} or set(SUBSETS))


@partial(jax.jit, static_argnames="missing")
def view_at(key, valid, max_rate, missing):
    return random_view(key, valid, dataclasses.replace(missing, max_rate=max_rate))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    density=st.floats(0, 1),
    max_rate=st.floats(0, 1, width=32),
    rules=st.sampled_from(
        [
            Missing(),
            Missing(shared_rate=True, subset_weights={"audio": 2.0, "vision": 1e-6}),
            Missing(pattern="block", subset_weights=ALWAYS_ALL, fixed_rate=True),
            Missing(modality_rate=0.6, whole_share=0.3),
        ]
    ),
)
def test_never_empty_and_never_padding(seed, density, max_rate, rules):
    valid = some_valid(seed, 30, density)
    view = jax.tree.map(np.asarray, view_at(jax.random.key(seed), valid, max_rate, rules))
    something = np.stack([v.any(axis=1) for v in valid.values()]).any(axis=0)
    kept = np.stack([o.any(axis=1) for o in view.values()]).any(axis=0)
    np.testing.assert_array_equal(kept, something)
    for m in NAMES:
        assert view[m].dtype == bool
        assert not (view[m] & ~valid[m]).any()


@pytest.mark.parametrize("fixed", [False, True])
def test_exactly_one_frame_is_kept_where_all_are_lost(fixed):
    valid = some_valid(3, 200)
    uniforms = draw_uniforms(jax.random.key(0), valid)
    if not fixed:
        uniforms = uniforms.replace(rate={m: np.ones(200, np.float32) for m in NAMES})
    view = observe_of(uniforms, valid, Missing(fixed_rate=fixed))
    something = np.stack([v.any(axis=1) for v in valid.values()]).any(axis=0)
    np.testing.assert_array_equal(sum(o.sum(axis=1) for o in view.values()), something)


def test_number_of_missing_frames():
    """With a rate from U(0, 1) every number of missing frames is equally likely."""
    n, lengths = 20_000, {"language": 9, "audio": 60, "vision": 60}
    rules = Missing(subset_weights=ALWAYS_ALL)
    view = view_of(jax.random.key(0), all_valid(n, lengths), rules)
    counts = np.bincount(9 - np.asarray(view["language"]).sum(axis=1), minlength=10)
    assert chisquare(counts).pvalue > 1e-3
    rules = Missing(max_rate=0.6, subset_weights=ALWAYS_ALL)
    for observed_bt in view_of(jax.random.key(0), all_valid(n, lengths), rules).values():
        missing_bt = ~np.asarray(observed_bt)
        t = missing_bt.shape[1]
        np.testing.assert_allclose(missing_bt.mean(axis=0), 0.3, atol=0.02)
        # A binomial number whose rate is uniform: the variance of both.
        variance = 0.6**2 / 12 + (0.3 - 0.6**2 / 3) / t
        np.testing.assert_allclose(missing_bt.mean(axis=1).var(), variance, rtol=0.05)


def correlations(rows):
    matrix = np.corrcoef(np.stack(rows))
    return matrix[~np.eye(len(rows), dtype=bool)]


def test_views_modalities_samples_and_steps_are_independent():
    n, stream = 10_000, jax.random.key(0)
    rules = Missing(subset_weights=ALWAYS_ALL)
    shares = []
    for step in range(2):
        for key in jax.random.split(jax.random.fold_in(stream, step), 2):
            view = view_of(key, all_valid(n), rules)
            shares += [np.asarray(o).mean(axis=1) for o in view.values()]
    assert np.abs(correlations(shares)).max() < 5 / n**0.5
    for share_b in shares:
        assert np.abs(np.corrcoef(share_b[1:], share_b[:-1])[0, 1]) < 5 / n**0.5


def test_uniforms_are_independent():
    n = 10_000
    u = draw_uniforms(jax.random.key(0), all_valid(n))
    columns = [u.subset, *u.rate.values(), *(f for x in u.frames.values() for f in x.T)]
    assert len(columns) == 1 + 3 + sum(LENGTHS.values())
    assert np.abs(correlations(columns)).max() < 5 / n**0.5
    for column in columns:
        assert 0 <= column.min() < 0.01
        assert 0.99 < column.max() < 1


def test_available_modalities_do_not_depend_on_the_rates():
    n = 10_000
    u = draw_uniforms(jax.random.key(0), all_valid(n))
    available = observe_of(u, all_valid(n), WHOLE)
    for m in NAMES:
        availability = np.asarray(available[m]).any(axis=1)
        for rate in u.rate.values():
            assert np.abs(np.corrcoef(availability, rate)[0, 1]) < 5 / n**0.5


def test_shared_rate():
    valid = all_valid(2000, dict.fromkeys(NAMES, 100))
    for shared in (True, False):
        rules = Missing(shared_rate=shared, subset_weights=ALWAYS_ALL)
        view = view_of(jax.random.key(0), valid, rules)
        between = correlations([np.asarray(o).mean(axis=1) for o in view.values()])
        assert (between > 0.95).all() if shared else (np.abs(between) < 0.1).all()


def test_fixed_rate():
    """The missing share varies as it does when every frame is drawn alone, and no more."""
    n, t = 5000, 50
    rules = Missing(max_rate=0.3, fixed_rate=True, subset_weights=ALWAYS_ALL)
    shares = []
    for observed_bt in view_of(
        jax.random.key(0), all_valid(n, dict.fromkeys(NAMES, t)), rules
    ).values():
        share_b = 1 - np.asarray(observed_bt).mean(axis=1)
        np.testing.assert_allclose(share_b.mean(), 0.3, atol=0.005)
        np.testing.assert_allclose(share_b.var(), 0.3 * 0.7 / t, rtol=0.1)
        shares.append(share_b)
    assert np.abs(correlations(shares)).max() < 5 / n**0.5


@pytest.mark.parametrize(("max_rate", "missing"), [(0.0, 0), (0.4, 4), (0.9, 9)])
def test_fixed_rate_of_blocks(max_rate, missing):
    """Every available modality loses as many frames; the others have none."""
    valid = all_valid(200, dict.fromkeys(NAMES, 10))
    view = view_at(KEY, valid, max_rate, Missing(fixed_rate=True, pattern="block"))
    counts = np.stack([np.asarray(o).sum(axis=1) for o in view.values()])
    assert set(counts.ravel().tolist()) == {0, 10 - missing}


@pytest.mark.parametrize("padding", ["none", "front", "back", "both"])
def test_block_drops_one_run_of_the_right_size(padding):
    n, t, length = 500, 12, 12 if padding == "none" else 8
    front = {"none": 0, "front": 4, "back": 0, "both": 2}[padding]
    place = (np.arange(t) >= front) & (np.arange(t) < front + length)
    valid = {m: np.tile(place, (n, 1)) for m in NAMES}
    rules = Missing(max_rate=0.9, pattern="block", subset_weights=ALWAYS_ALL)
    uniforms = draw_uniforms(jax.random.key(0), valid)
    starts = []
    for m, observed_bt in observe_of(uniforms, valid, rules).items():
        missing_bt = ~np.asarray(observed_bt)[:, place]
        size_b = np.round(np.float32(0.9) * np.asarray(uniforms.rate[m]) * length)
        np.testing.assert_array_equal(missing_bt.sum(axis=1), size_b)
        edges_b = np.abs(np.diff(missing_bt.astype(int), axis=1, prepend=0, append=0)).sum(axis=1)
        np.testing.assert_array_equal(edges_b, 2 * (size_b > 0))
        starts += list(missing_bt.argmax(axis=1)[size_b == 4])
    counts = np.bincount(starts, minlength=length - 3)
    assert len(counts) == length - 3
    assert chisquare(counts).pvalue > 1e-3


def test_pure_and_without_effects():
    valid = jax.tree.map(jnp.asarray, some_valid(0, 7))
    before = jax.tree.map(np.array, valid)
    views = [view_of(jax.random.key(3), valid, Missing()) for _ in range(2)]
    chex.assert_trees_all_equal(*views)
    chex.assert_trees_all_equal(valid, before)
    assert not jax.make_jaxpr(partial(random_view, missing=Missing()))(
        jax.random.key(3), valid
    ).effects
    other = view_of(jax.random.key(4), valid, Missing())
    assert any((views[0][m] != other[m]).any() for m in NAMES)


def test_ranks_are_checked():
    valid = all_valid(2)
    uniforms = draw_uniforms(jax.random.key(0), valid)
    with pytest.raises(AssertionError):
        observe(uniforms, valid | {"audio": valid["audio"][:, :, None]}, Missing())


def test_the_rate_is_drawn_by_default():
    assert not Missing().fixed_rate


def completeness_case():
    """Whole, half, nothing observed, nothing valid; and a modality that the sample never had."""
    valid = {
        "language": [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "audio": [[1, 1], [1, 1], [1, 0], [0, 0], [1, 1]],
    }
    observed = {
        "language": [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]],
        "audio": [[1, 1], [0, 1], [0, 1], [1, 1], [1, 0]],
    }
    return tuple(
        {m: np.asarray(rows, bool) for m, rows in masks.items()} for masks in (valid, observed)
    )


def test_completeness_by_hand():
    share_b = jax.jit(completeness)(*completeness_case())
    assert share_b.dtype == jnp.float32
    np.testing.assert_array_equal(share_b, [1, 0.375, 0, 0, 0.5])


def test_completeness_of_random_views():
    valid = some_valid(2, 300)
    observed = some_valid(5, 300)
    share_b = np.asarray(jax.jit(completeness)(valid, observed))
    for i, share in enumerate(share_b):
        shares = [observed[m][i, valid[m][i]].mean() for m in NAMES if valid[m][i].any()]
        np.testing.assert_allclose(share, np.mean(shares) if shares else 0, rtol=1e-6)
    assert share_b.min() == 0
    assert share_b.max() <= 1
    whole_b = np.stack([v.any(axis=1) for v in valid.values()]).any(axis=0)
    np.testing.assert_array_equal(completeness(valid, valid), whole_b)
    turned = [{m: masks[m] for m in reversed(NAMES)} for masks in (valid, observed)]
    np.testing.assert_array_equal(jax.jit(completeness)(*turned), share_b)


def test_all_stands_for_all_modalities():
    """And names come in any order."""
    valid = some_valid(6, 300)
    uniforms = draw_uniforms(KEY, valid)
    ways = [
        {"all": 2.0, "audio+vision": 1.0},
        {"language+audio+vision": 2.0, "vision+audio": 1.0},
        {"vision+audio": 1.0, "vision+language+audio": 2.0},
    ]
    views = [observe_of(uniforms, valid, Missing(subset_weights=way)) for way in ways]
    for view in views[1:]:
        chex.assert_trees_all_equal(view, views[0])
    chex.assert_trees_all_equal(
        views[0], reference_observe(uniforms, valid, Missing(subset_weights=ways[1]))
    )


def test_a_section_is_hashable_and_compared_by_value():
    odds = {"language": 1.0, "audio+vision": 2.0}
    missing, same = (
        Missing(subset_weights=odds),
        Missing(subset_weights=dict(reversed(odds.items()))),
    )
    assert missing == same
    assert hash(missing) == hash(same)
    odds["language"] = 5.0
    assert missing.subset_weights["language"] == 1
    assert missing != Missing(subset_weights=odds)
    with pytest.raises(ValueError, match="immutable"):
        missing.subset_weights["language"] = 3.0
    assert dataclasses.replace(missing, max_rate=0.5).subset_weights == missing.subset_weights


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_rate": 1.1}, "max_rate: found 1.1, expected a number of at least 0 and at most 1."),
        ({"max_rate": -0.1}, "max_rate: found -0.1"),
        ({"whole_share": 1.5}, "whole_share: found 1.5"),
        ({"modality_rate": -0.1}, "modality_rate: found -0.1, expected null, or a number from 0"),
        (
            {"modality_rate": 1.1},
            "modality_rate: found 1.1, expected null, or a number from 0 to 1",
        ),
        ({"modality_rate": float("nan")}, "modality_rate: found nan, expected null, or a number"),
        (
            {"modality_rate": 0.5, "subset_weights": {"audio": 1.0}},
            "modality_rate: found 0.5, expected null, because missing.subset_weights draw subsets",
        ),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check(Missing(**values))


@pytest.mark.parametrize(
    ("odds", "message"),
    [
        ({"smell": 1.0}, "subset_weights: found 'smell', expected names of data.modalities (lang"),
        ({"audio+smell": 1.0}, "subset_weights: found 'audio+smell', expected names of"),
        ({"": 1.0}, "subset_weights: found '', expected names of"),
        ({"audio": -1.0}, "subset_weights.audio: found -1.0, expected a number of at least 0"),
        ({"audio": float("inf")}, "subset_weights.audio: found inf, expected a number"),
        ({"audio": float("nan")}, "subset_weights.audio: found nan, expected a number"),
        ({"audio": 0.0, "all": 0.0}, "subset_weights: found {"),
        ({"audio+vision": 1.0, "vision+audio": 1.0}, "expected each subset once, and odds above 0"),
        ({"all": 1.0, "vision+audio+language": 2.0}, "expected each subset once, and odds above 0"),
    ],
)
def test_subsets_that_cannot_be_drawn_are_named(odds, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Missing(subset_weights=odds).check_subsets(NAMES)


@pytest.mark.parametrize("odds", [{}, {"all": 1.0}, {"audio": 0.0, "vision+audio": 2.0}])
def test_subsets_that_can_be_drawn_pass(odds):
    Missing(subset_weights=odds).check_subsets(NAMES)
    check(Missing(subset_weights=odds, max_rate=0.0, whole_share=1.0))
    check(Missing(modality_rate=1.0))


IDS = ["video_1", "video_1$_$3", "", "数"]


def test_keyed_uniforms_golden():
    """The masks of a sample must never change silently: results would not compare."""
    lengths = {"language": 4, "audio": 2}
    u = keyed_uniforms(7, ["video_1"], all_valid(1, lengths))
    in_2_to_the_24 = jax.tree.map(lambda x: (np.asarray(x, np.float64) * 2**24).tolist(), u)
    assert in_2_to_the_24 == Uniforms(
        subset=[471482],
        rate={"language": [9418345], "audio": [4818268]},
        frames={
            "language": [[5205390, 10965127, 5560509, 8809254]],
            "audio": [[9697075, 6465778]],
        },
    )


def test_keyed_uniforms_from_the_definition():
    """BLAKE2b of the name keys a Philox stream; the upper 24 bits of each word, rate first."""
    u = keyed_uniforms(11, IDS, all_valid(len(IDS)))
    for i, name in enumerate(IDS):
        for m in NAMES:
            digest = hashlib.blake2b(f"11\0{name}\0modality\0{m}".encode(), digest_size=16).digest()
            key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")]
            words = np.random.Philox(key=np.array(key, np.uint64)).random_raw(1 + LENGTHS[m])
            numbers = [int(word) >> 40 for word in words]
            assert u.rate[m][i] * 2**24 == numbers[0]
            np.testing.assert_array_equal(u.frames[m][i] * 2**24, numbers[1:])


def test_keyed_uniforms_depend_on_seed_id_and_modality_alone():
    u = keyed_uniforms(3, IDS, all_valid(len(IDS)))
    reordered = keyed_uniforms(3, IDS[::-1], all_valid(len(IDS)))
    chex.assert_trees_all_equal(u, jax.tree.map(lambda x: x[::-1], reordered))
    alone = keyed_uniforms(3, IDS[1:2], all_valid(1))
    chex.assert_trees_all_equal(alone, jax.tree.map(lambda x: x[1:2], u))
    longer = keyed_uniforms(3, IDS, all_valid(len(IDS), {m: t + 7 for m, t in LENGTHS.items()}))
    audio = keyed_uniforms(3, IDS, {"audio": np.zeros((len(IDS), LENGTHS["audio"]), bool)})
    np.testing.assert_array_equal(longer.subset, u.subset)
    np.testing.assert_array_equal(audio.subset, u.subset)
    np.testing.assert_array_equal(audio.rate["audio"], u.rate["audio"])
    np.testing.assert_array_equal(audio.frames["audio"], u.frames["audio"])
    for m, t in LENGTHS.items():
        np.testing.assert_array_equal(longer.rate[m], u.rate[m])
        np.testing.assert_array_equal(longer.frames[m][:, :t], u.frames[m])


def test_keyed_uniforms_differ_by_seed_id_and_modality():
    n = 2000
    lengths = dict.fromkeys(NAMES, 3)
    ids = [f"sample {i}" for i in range(n)]
    columns = []
    for seed in (0, 1, -1):
        u = keyed_uniforms(seed, ids, all_valid(n, lengths))
        columns += [u.subset, *u.rate.values(), *(f for x in u.frames.values() for f in x.T)]
    assert np.abs(correlations(columns)).max() < 5 / n**0.5
    for column in columns:
        assert column.dtype == np.float32
        assert column.max() < 1
    assert kstest(np.concatenate(columns), "uniform").pvalue > 1e-3


def test_keyed_uniforms_make_masks_like_random_ones():
    valid = some_valid(0, 200)
    uniforms = keyed_uniforms(0, [str(i) for i in range(200)], valid)
    view = observe_of(uniforms, valid, Missing())
    chex.assert_trees_all_equal(view, reference_observe(uniforms, valid, Missing()))


def keyed_case(n=200):
    valid = some_valid(1, n)
    return valid, keyed_uniforms(0, [str(i) for i in range(n)], valid)


def test_observe_at_is_nested_over_the_rates():
    valid, uniforms = keyed_case()
    rates = [0, 0.1, 0.3, 0.5, 0.9, 1]
    views = [observe_at(uniforms, valid, NAMES, rate) for rate in rates]
    chex.assert_trees_all_equal(views[0], valid)
    assert not any(o.any() for o in views[-1].values())
    for more, fewer in itertools.pairwise(views):
        for m in NAMES:
            assert not (fewer[m] & ~more[m]).any()
    for m in NAMES:
        share = views[2][m].sum() / valid[m].sum()
        assert abs(share - 0.7) < 0.1


@pytest.mark.parametrize("subset", [(), ("audio",), ("vision", "language")])
def test_observe_at_keeps_the_given_modalities_only(subset):
    valid, uniforms = keyed_case()
    everything = observe_at(uniforms, valid, NAMES, 0.4)
    for m, observed in observe_at(uniforms, valid, subset, 0.4).items():
        assert observed.dtype == bool
        np.testing.assert_array_equal(observed, everything[m] if m in subset else False)


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan")])
def test_observe_at_refuses_a_bad_rate(rate):
    valid, uniforms = keyed_case(2)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        observe_at(uniforms, valid, NAMES, rate)


def test_rates_as_arguments_of_a_program_draw_the_same_masks():
    valid, traced = some_valid(5, 64), []

    @partial(jax.jit, static_argnames="static")
    def drawn(static, numbers):
        traced.append(static)
        return random_view(KEY, valid, merge(static, numbers))

    found = []
    for rate, share in ((0.4, 0.3), (1.0, 0.3), (0.4, 0.75), (0.4, 0.0), (0.9, 0.0)):
        rules = Missing(max_rate=rate, whole_share=share)
        found.append(drawn(*split(rules)))
        chex.assert_trees_all_equal(found[-1], view_of(KEY, valid, rules))
    assert len(traced) == 1
    shares = [sum(int(mask.sum()) for mask in view.values()) for view in found]
    assert shares[1] < shares[0] < shares[2]
    assert shares[4] < shares[3] < shares[0]

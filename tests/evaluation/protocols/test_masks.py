"""Test masks: the rules sample by sample, what they depend on, and their digest."""

import dataclasses
import hashlib
import itertools
import json

import chex
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsrf_jax.data.dataset import Split
from fsrf_jax.evaluation.protocols.masks import (
    draw_subset,
    keep_modalities,
    make_observer,
    masks_digest,
    missing_shares,
    observe_condition,
)
from fsrf_jax.evaluation.protocols.registry import PROTOCOLS, Condition
from fsrf_jax.missing import Missing, keyed_uniforms, observe

LENGTHS = {"language": 4, "audio": 6, "vision": 5}
NAMES = tuple(LENGTHS)
ODDS = ((("language",), 2.0), (("audio", "vision"), 3.0), (NAMES, 1.0))
RATES = [0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 1.0]


def case(n=400, seed=0, density=0.7, has=0.8):
    """Ids, valid frames of any pattern, and the uniforms of mask seed 3."""
    rng = np.random.default_rng(seed)
    has_bm = rng.random((n, len(NAMES))) < has
    valid = {
        m: (rng.random((n, t)) < density) & has_bm[:, i : i + 1]
        for i, (m, t) in enumerate(LENGTHS.items())
    }
    ids = [f"sample {i}" for i in range(n)]
    return ids, valid, keyed_uniforms(3, ids, valid)


def split_of(ids, valid):
    features = {m: np.zeros((*v.shape, 1), np.float32) for m, v in valid.items()}
    return Split(np.array(ids), features, valid, np.zeros(len(ids), np.float32))


def present(masks, i):
    return {m for m in masks if masks[m][i].any()}


@pytest.mark.parametrize("rate", RATES)
def test_missing_modalities_sample_by_sample(rate):
    _, valid, uniforms = case()
    masks = keep_modalities(uniforms, valid, rate)
    drop = min(1, rate * 3 / 2)
    for i in range(400):
        has = sorted(m for m in NAMES if valid[m][i].any())
        expected = set()
        if has:
            kept = has[int(uniforms.subset[i] * len(has))]
            expected = {kept} | {m for m in has if uniforms.rate[m][i] >= drop}
        assert present(masks, i) == expected
        for m in expected:
            np.testing.assert_array_equal(masks[m][i], valid[m][i])


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.7])
def test_the_share_of_missing_modalities_is_the_rate_up_to_what_can_be(modalities, rate):
    n = 5000
    valid = {f"m{i}": np.ones((n, 1), bool) for i in range(modalities)}
    masks = keep_modalities(keyed_uniforms(0, [str(i) for i in range(n)], valid), valid, rate)
    counts = sum(mask.sum(axis=1) for mask in masks.values())
    assert counts.min() >= 1
    shares = missing_shares(masks, valid)
    found, frames = shares["modalities"], shares["frames"]
    assert found == pytest.approx(min(rate, (modalities - 1) / modalities), abs=0.02)
    assert frames == pytest.approx(found)
    shares = [mask.mean() for mask in masks.values()]
    assert max(shares) - min(shares) < 0.05


def test_missing_modalities_are_nested_over_the_rates():
    _, valid, uniforms = case()
    views = [keep_modalities(uniforms, valid, rate) for rate in RATES]
    chex.assert_trees_all_equal(views[0], valid)
    for more, fewer in itertools.pairwise(views):
        for m in NAMES:
            assert not (fewer[m] & ~more[m]).any()
    # 0.7 is more than two of three: 2/3 and beyond are all the same.
    chex.assert_trees_all_equal(views[-2], views[-1])


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(rate):
    _, valid, uniforms = case(2)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        keep_modalities(uniforms, valid, rate)


@pytest.mark.parametrize("odds", [(), ODDS])
def test_drawn_subsets_are_those_of_training(odds):
    _, valid, uniforms = case()
    missing = Missing(max_rate=0.0, subset_weights={"+".join(names): w for names, w in odds})
    expected = observe(uniforms, valid, missing)
    chex.assert_trees_all_equal(draw_subset(uniforms, valid, odds), expected)


def test_drawn_subsets_have_their_odds():
    n = 5000
    valid = {m: np.ones((n, 1), bool) for m in NAMES}
    uniforms = keyed_uniforms(0, [str(i) for i in range(n)], valid)
    condition = PROTOCOLS["cmad"](NAMES).conditions[-1]
    masks = observe_condition(condition, uniforms, valid)
    found = [frozenset(present(masks, i)) for i in range(n)]
    for subset, odds in condition.odds:
        share = found.count(frozenset(subset)) / n
        assert abs(share - odds / 14) < 5 * (0.25 / n) ** 0.5


@pytest.mark.parametrize("number", [0.0, 1 - 2.0**-24])
def test_the_ends_of_the_unit_interval_draw_a_subset_with_odds(number):
    _, valid, uniforms = case(50, has=1.0, density=1.0)
    uniforms = dataclasses.replace(uniforms, subset=np.full(50, number, np.float32))
    masks = draw_subset(uniforms, valid, ((("audio",), 1.0), (("vision",), 0.0)))
    assert all(present(masks, i) == {"audio"} for i in range(50))
    everything = keep_modalities(uniforms, valid, 1.0)
    assert all(len(present(everything, i)) == 1 for i in range(50))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_masks_belong_to_the_sample_and_are_a_part_of_what_is_valid(name):
    ids, valid, _ = case(30)
    protocol = PROTOCOLS[name](NAMES)
    rows = np.random.default_rng(0).permutation(30)[:20]
    some = {m: np.pad(valid[m][rows], ((0, 0), (0, 3))) for m in reversed(NAMES)}
    whole = make_observer(split_of(ids, valid), (0, 5))
    part = make_observer(split_of([ids[i] for i in rows], some), (5,))
    for condition in protocol.conditions:
        masks, other = whole(condition, 5), part(condition, 5)
        for m, t in LENGTHS.items():
            assert masks[m].dtype == bool
            assert not (masks[m] & ~valid[m]).any()
            np.testing.assert_array_equal(other[m][:, :t], masks[m][rows])
        if condition.random and condition.rate < 1:
            assert any((masks[m] != whole(condition, 0)[m]).any() for m in NAMES)


def digest_of(ids, valid, name="gcnet", seeds=(0, 3), conditions=None):
    conditions = PROTOCOLS[name](NAMES).conditions if conditions is None else conditions
    observe_all = make_observer(split_of(ids, valid), seeds)
    return masks_digest(conditions, seeds, ids, valid, observe_all)


def test_the_digest_from_its_definition():
    ids, valid, _ = case(9)
    ids[4] = "数"
    seeds, conditions = (2, 0), PROTOCOLS["gcnet"](NAMES).conditions[2:5]
    observer = make_observer(split_of(ids, valid), seeds)
    order = sorted(range(9), key=lambda i: ids[i])
    header = {
        "conditions": ["mr=0.2", "mr=0.3", "mr=0.4"],
        "ids": [ids[i] for i in order],
        "mask_seeds": [2, 0],
        "modalities": ["audio", "language", "vision"],
    }
    parts = [json.dumps(header, separators=(",", ":")).encode()]
    for m in header["modalities"]:
        parts += [int(valid[m][i].sum()).to_bytes(8, "little") for i in order]
    for condition in conditions:
        for seed in seeds:
            masks = observer(condition, seed)
            for m in header["modalities"]:
                bits = [b for i in order for b in masks[m][i][valid[m][i]]]
                bits += [False] * (-len(bits) % 8)
                text = "".join(str(int(b)) for b in bits)
                parts.append(bytes(int(text[k : k + 8], 2) for k in range(0, len(text), 8)))
    expected = hashlib.sha256(b"".join(parts)).hexdigest()
    assert digest_of(ids, valid, seeds=seeds, conditions=conditions) == expected


def golden_digest(name):
    """Of twenty samples with 1 to t frames; every fifth has no audio."""
    frames = {m: np.arange(t)[None] <= (np.arange(20) % t)[:, None] for m, t in LENGTHS.items()}
    frames["audio"] &= (np.arange(20) % 5 > 0)[:, None]
    return digest_of([f"video_{i}" for i in range(20)], frames, name)


GOLDEN = {
    "corrkd": "d7c8e90df080321b1a40106e6d493a623c1c84c4f59380504d21def62d736928",
    "lnln": "466febf69a87c22e20c5b36dcf5013a664e0715130267b5d2d10b028e30d9ce3",
    "tfrnet": "900025a0d1c6a8815169da4e1054dff80737c7876277a8dc4485a1617df4d0da",
    "gcnet": "1e3051b7fab7facd27da953a9b140051744a212eb7e6859a2ac810ec6c188fd4",
    "cmad": "68cee194c9bb4128ca026bdf7fe0b27b2a016b21534b25cae4a51b762b62d834",
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_digests_must_never_change_silently(name):
    """Results would not compare. A change of the masks is a change of the protocol: say so."""
    assert golden_digest(name) == GOLDEN[name]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), front=st.integers(0, 4), back=st.integers(0, 9))
def test_the_digest_does_not_depend_on_order_or_padding(seed, front, back):
    ids, valid, _ = case(12)
    expected = digest_of(ids, valid)
    rows = np.random.default_rng(seed).permutation(12)
    turned = {m: valid[m][rows] for m in NAMES[::-1]}
    assert digest_of([ids[i] for i in rows], turned) == expected
    longer = {m: np.pad(v, ((0, 0), (0, back))) for m, v in valid.items()}
    assert digest_of(ids, longer) == expected
    # Whole modalities are missing, so frames may also stand further back.
    moved = {m: np.pad(v, ((0, 0), (front, 0))) for m, v in valid.items()}
    assert digest_of(ids, moved) == expected


def test_the_digest_depends_on_everything_else():
    ids, valid, _ = case(12)
    conditions = PROTOCOLS["gcnet"](NAMES).conditions
    fewer = {m: v.copy() for m, v in valid.items()}
    fewer["audio"][np.argmax(valid["audio"].any(axis=1)), :] = False
    digests = [
        digest_of(ids, valid),
        digest_of(ids, valid, seeds=(0, 4)),
        digest_of(ids, valid, seeds=(3, 0)),
        digest_of(["other", *ids[1:]], valid),
        digest_of(ids, fewer),
        digest_of(ids, valid, conditions=conditions[1:]),
        digest_of(ids, valid, conditions=(conditions[1], conditions[0], *conditions[2:])),
        digest_of(ids, valid, "cmad"),
    ]
    assert len(set(digests)) == len(digests)


def test_one_flipped_bit_is_seen():
    ids, valid, uniforms = case(12)
    condition = Condition("rate=0.5", NAMES, 0.5)
    masks = dict(observe_condition(condition, uniforms, valid))
    expected = masks_digest([condition], [0], ids, valid, lambda *_: masks)
    row, frame = np.argwhere(valid["vision"])[-1]
    masks["vision"] = masks["vision"].copy()
    masks["vision"][row, frame] ^= True
    assert masks_digest([condition], [0], ids, valid, lambda *_: masks) != expected


def test_shares_of_what_is_missing():
    valid = {"a": np.array([[1, 1], [1, 0]], bool), "b": np.array([[1, 1], [0, 0]], bool)}
    masks = {"a": np.array([[1, 0], [0, 0]], bool), "b": np.array([[1, 1], [0, 0]], bool)}
    assert missing_shares(masks, valid) == pytest.approx({"modalities": 1 / 3, "frames": 2 / 5})
    nothing = {"a": np.zeros((2, 1), bool), "b": np.zeros((2, 1), bool)}
    assert missing_shares(nothing, nothing) == {"modalities": None, "frames": None}


def test_a_protocol_masks_on_top_of_the_gaps():
    """What is not present is never observed, counts as missing, and changes nothing else."""
    ids, valid, _ = case(60, density=1.0, has=1.0)
    whole = split_of(ids, valid)
    gaps = np.random.default_rng(1)
    present = {m: v & (gaps.random(v.shape) < 0.8) for m, v in valid.items()}
    gappy = dataclasses.replace(whole, present=present)
    for protocol in PROTOCOLS.values():
        described = protocol(NAMES)
        plain, torn = (make_observer(split, (3,)) for split in (whole, gappy))
        for condition in described.conditions:
            if condition.law == "frames":  # what is drawn hangs on what a sample has
                for m, mask in torn(condition, 3).items():
                    np.testing.assert_array_equal(mask, plain(condition, 3)[m] & present[m])
            assert all(not (torn(condition, 3)[m] & ~present[m]).any() for m in NAMES)
    shown = missing_shares(make_observer(gappy, (3,))(described.conditions[-2], 3), valid)
    total = sum(v.sum() for v in valid.values())
    assert shown["frames"] == pytest.approx(1 - sum(p.sum() for p in present.values()) / total)
    digests = [
        masks_digest(described.conditions, (3,), ids, valid, make_observer(split, (3,)))
        for split in (whole, gappy)
    ]
    assert digests[0] != digests[1]

"""Tables and heat maps of the probes."""

import copy

import matplotlib.image
import numpy as np
import pytest

from fsrf_jax.reporting.markdown import to_markdown
from fsrf_jax.reporting.numbers import two_digits
from fsrf_jax.reporting.probes_plot import save_probes_plot
from fsrf_jax.reporting.probes_tables import code_rows, probes_document


def probes_markdown(probes):
    return to_markdown(probes_document(probes))


MODALITIES = ("language", "audio", "vision")
IDENTITY = {"H": 0.34, "S": 0.99, "N": None}


def figures(*names):
    return {name: 0.1 * (i + 1) for i, name in enumerate(names)}


def by_code(has, *names):
    return {kind: {m: figures(*names) for m in MODALITIES} for kind in has}


def results(with_latents=True, has="HSN"):
    tables = {"variance": ("total",), "label": ("label",)}
    if with_latents:
        tables["variance_shares"] = ("u", "w", "r", "others", "rest")
        tables |= {"normalised": ("u", "w", "r"), "decoding": ("u", "w", "r", "label")}
    names = [f"{kind} {m}" for kind in has for m in MODALITIES]
    found = {table: by_code(has, *columns) for table, columns in tables.items()}
    return {
        "n": 77,
        "modalities": list(MODALITIES),
        "folds": 5,
        "noise_floor": 0.01,
        **found,
        "mean": {
            table: {kind: figures(*columns) for kind in has} for table, columns in tables.items()
        },
        "modality_identity": {k: v for k, v in IDENTITY.items() if k in has},
        "chance": 1 / 3,
        "cka": {"names": names, "matrix": np.eye(len(names)).tolist()},
    }


def test_rows_are_every_code_and_the_mean_of_every_kind():
    names = [name for name, _ in code_rows(results(), "decoding")]
    assert names[:5] == ["H language", "H audio", "H vision", "H mean", "S language"]
    assert len(names) == 12


def test_markdown_has_both_matrices_with_latents():
    text = probes_markdown(results())
    assert "|H mean|0.10|0.20|0.30|0.40|0.50|0.10|0.20|0.30|" in text
    assert "|N vision|0.10|0.20|0.30|0.40|" in text
    assert "77 samples" in text
    assert "1% of a code's variance" in text
    assert "|H|0.34|" in text
    assert "|N|-|" in text
    assert "|chance|0.33|" in text
    assert "|H audio|0.00|1.00|0.00|" in text
    assert len(text.splitlines()) < 80


def test_markdown_without_latents_has_the_label_alone():
    text = probes_markdown(results(False))
    assert "Variance shares" not in text
    assert "|code|label|" in text
    assert "Alignment" in text


def test_every_table_has_as_many_cells_in_each_row():
    blocks = probes_markdown(results()).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize("with_latents", [True, False])
@pytest.mark.parametrize("has", ["H", "S", "N", "HN"])
def test_markdown_has_no_row_for_a_code_that_there_is_not(has, with_latents):
    blocks = probes_markdown(results(with_latents, has)).split("\n\n")
    tables = [block.splitlines()[2:] for block in blocks if block.startswith("|")]
    *by_code, identity, alignment = [[line.split("|")[1] for line in rows] for rows in tables]
    assert len(by_code) == (2 if with_latents else 1)
    for rows in by_code:
        assert rows == [f"{kind} {m}" for kind in has for m in (*MODALITIES, "mean")]
    assert identity == [*has, "chance"]
    assert alignment == [f"{kind} {m}" for kind in has for m in MODALITIES]


@pytest.mark.parametrize(
    ("figure", "text"), [(None, "-"), (-0.001, "0.00"), (-0.02, "-0.02"), (0.999, "1.00")]
)
def test_two_digits(figure, text):
    assert two_digits(figure) == text


@pytest.mark.parametrize("with_latents", [True, False])
def test_plot_is_a_picture(tmp_path, with_latents):
    save_probes_plot(tmp_path / "probes.png", results(with_latents))
    picture = matplotlib.image.imread(tmp_path / "probes.png")
    assert picture.shape[0] > 400
    assert picture.shape[1] > 800
    assert picture.std() > 0.05
    np.testing.assert_allclose(picture[..., 0], picture[..., 2], atol=0.08)  # no colour
    assert [path.name for path in tmp_path.iterdir()] == ["probes.png"]


@pytest.mark.parametrize("with_latents", [True, False])
@pytest.mark.parametrize("has", ["S", "HN"])
def test_plot_has_no_row_for_a_code_that_there_is_not(tmp_path, has, with_latents):
    heights = {}
    for kinds in (has, "HSN"):
        save_probes_plot(tmp_path / "probes.png", results(with_latents, kinds))
        picture = matplotlib.image.imread(tmp_path / "probes.png")
        assert picture.std() > 0.03
        heights[kinds] = picture.shape[0]
    rows = 4 if with_latents else 3  # each modality, and their mean; or a matrix without it
    pixels = 26 / 72 * 120 * rows * (3 - len(has))
    assert heights["HSN"] - heights[has] == pytest.approx(pixels, abs=2)


def test_undefined_figures_are_drawn_as_a_dash(tmp_path):
    found = copy.deepcopy(results())
    found["variance_shares"]["N"]["audio"] = dict.fromkeys(("u", "w", "r", "others", "rest"))
    found["normalised"]["N"]["audio"] = dict.fromkeys(("u", "w", "r"))
    save_probes_plot(tmp_path / "probes.png", found)
    assert "|N audio|-|-|-|-|-|-|-|-|" in probes_markdown(found)

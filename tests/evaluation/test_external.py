"""Predictions of other programs: read, put in order, and what is refused."""

import numpy as np
import pytest

from fsrf_jax.errors import DataError
from fsrf_jax.evaluation.external import align, check_digest, read_predictions

IDS = ["video_1", "video, the second", "数"]
CONDITIONS = ["language+audio", "rate=0.5"]
SEEDS = [0, 5]


def arrays(outputs=None, **changes):
    shape = (2, 2, 3) if outputs is None else (2, 2, 3, outputs)
    content = {
        "ids": np.array(IDS),
        "conditions": np.array(CONDITIONS),
        "mask_seeds": np.array(SEEDS),
        "predictions": np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7,
    }
    return {k: v for k, v in {**content, **changes}.items() if v is not None}


def write_npz(tmp_path, **changes):
    path = tmp_path / "p.npz"
    np.savez(path, **arrays(**changes))
    return path


def write_csv(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_text(text, "utf-8")
    return path


def rows(content, order=None):
    """CSV lines of arrays, in any order."""
    values = content["predictions"]
    wide = values.ndim == 4
    columns = [f"prediction_{i}" for i in range(values.shape[3])] if wide else ["prediction"]
    lines = [",".join(["id", "condition", "mask_seed", *columns])]
    for c, condition in enumerate(content["conditions"]):
        for s, seed in enumerate(content["mask_seeds"]):
            for n, name in enumerate(content["ids"]):
                figures = ",".join(str(v) for v in np.atleast_1d(values[c, s, n]).tolist())
                lines.append(f'"{name}",{condition},{seed},{figures}')
    if order is not None:
        lines[1:] = [lines[1 + i] for i in order]
    return "\n".join(lines) + "\n"


def aligned(path, outputs=None):
    return align(read_predictions(path), IDS, CONDITIONS, SEEDS, outputs, path)


@pytest.mark.parametrize("outputs", [None, 2])
def test_arrays_are_put_in_order(tmp_path, outputs):
    content = arrays(outputs)
    turned = {
        "ids": np.array(IDS[::-1]),
        "conditions": np.array(CONDITIONS[::-1]),
        "mask_seeds": np.array(SEEDS[::-1]),
        "predictions": content["predictions"][::-1, ::-1, ::-1],
    }
    np.savez(tmp_path / "p.npz", **turned)
    found = aligned(tmp_path / "p.npz", outputs)
    for c, condition in enumerate(CONDITIONS):
        for s, seed in enumerate(SEEDS):
            expected = content["predictions"][c, s]
            np.testing.assert_array_equal(found[condition, seed], expected)
            assert found[condition, seed].dtype == np.float32


@pytest.mark.parametrize("outputs", [None, 2])
def test_rows_of_a_csv_in_any_order(tmp_path, outputs):
    content = arrays(outputs)
    order = np.random.default_rng(0).permutation(12)
    found = aligned(write_csv(tmp_path, rows(content, order)), outputs)
    for c, condition in enumerate(CONDITIONS):
        for s, seed in enumerate(SEEDS):
            np.testing.assert_array_equal(found[condition, seed], content["predictions"][c, s])


def test_the_digest_of_the_masks_is_compared_where_it_is_known(tmp_path):
    path = write_npz(tmp_path, masks_digest=np.array("abc"))
    found = read_predictions(path)
    check_digest(found, "abc", path)
    with pytest.raises(DataError, match=r"masks_digest: found abc, expected abd.* other masks"):
        check_digest(found, "abd", path)
    path = write_csv(tmp_path, "# masks_digest=abc\n" + rows(arrays()))
    assert read_predictions(path).digest == "abc"
    assert len(aligned(path)) == 4
    check_digest(read_predictions(write_csv(tmp_path, rows(arrays()))), "abd", path)


def broken(value):
    values = arrays()["predictions"]
    values[1, 0, 2] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": np.array([IDS[0], *IDS[:2]])}, "ids: 'video_1' stands there twice, expected once"),
        ({"mask_seeds": np.array([5, 5])}, "mask_seeds: 5 stands there twice"),
        ({"conditions": np.array(["a", "a"])}, "conditions: 'a' stands there twice"),
        ({"ids": np.array(["x", *IDS[1:]])}, "ids: found nothing for 1 of 3, the first 'video_1'"),
        ({"conditions": np.array(["rate=0.5", "x"])}, r"conditions: found nothing for 1 of 2"),
        ({"mask_seeds": np.array([0, 1])}, "mask_seeds: found nothing for 1 of 2, the first 5"),
        ({"mask_seeds": np.array([0.0, 5.0])}, "mask_seeds: found float64, expected int"),
        (
            {"predictions": broken(np.nan)},
            "1 predictions are NaN or infinite, the first for id '数'",
        ),
        ({"predictions": broken(np.inf)}, "condition 'rate=0.5', mask seed 0; expected finite"),
        ({"predictions": np.zeros((2, 3, 2))}, r"predictions: found float64 \(2, 3, 2\), expected"),
        ({"predictions": np.zeros((2, 2))}, r"expected numbers of shape .* \(2, 2, 3\)"),
        ({"predictions": np.array([[["a"] * 3] * 2] * 2)}, "predictions: found <U1"),
        ({"predictions": np.zeros((2, 2, 3, 4))}, "found 4 probabilities .* expected one number"),
        ({"predictions": None}, "found no array predictions, expected ids, conditions, mask_seeds"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changes, message):
    path = write_npz(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        aligned(path)
    assert str(path) in str(caught.value)


def test_more_than_was_asked_for_is_refused(tmp_path):
    path = write_npz(tmp_path)
    with pytest.raises(DataError, match="ids: '数' is unknown here"):
        align(read_predictions(path), IDS[:2], CONDITIONS, SEEDS, None, path)
    with pytest.raises(DataError, match="found one number for each sample, expected 3 probabilit"):
        aligned(path, 3)


LINES = rows(arrays()).splitlines()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[:-1], "found no row of id '数', condition 'rate=0.5', mask seed 5"),
        ([*LINES, LINES[1]], "line 14: the row of .* stands there twice"),
        ([*LINES[:-1], "数,rate=0.5,5"], "line 13: found 3 cells, expected 4"),
        ([*LINES[:-1], "数,rate=0.5,5,x"], "line 13: could not convert .* expected numbers"),
        ([*LINES[:-1], "数,rate=0.5,0.5,1"], "line 13: invalid literal .* expected numbers"),
        ([*LINES[:-1], "数,rate=0.5,5,nan"], "1 predictions are NaN or infinite"),
        (["id,condition,prediction", *LINES[1:]], "found the columns .* expected id, condition"),
        (["id,condition,mask_seed,score"], "found the columns"),
        (["id,condition,mask_seed,prediction_1"], "found the columns"),
        ([], "found the columns"),
        (LINES[:1], "found no rows, expected one for each prediction"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        aligned(write_csv(tmp_path, "\n".join(lines)))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    for name, message in (("p.npz", "no such file"), ("p.json", "no such file")):
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name)
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(DataError, match=r"found \.json, expected \.npz or \.csv"):
        read_predictions(tmp_path / "p.json")
    (tmp_path / "p.npz").write_text("{}")
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_predictions(tmp_path / "p.npz")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        read_predictions(tmp_path / "p.csv")

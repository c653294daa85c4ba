import pytest

from fsrf_jax.files import replacing


def test_the_file_is_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path, old):
    path = tmp_path / "x.json"
    if old:
        path.write_text(old)

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([old] if old else [])


def test_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x.json"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())

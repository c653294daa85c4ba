"""Programs go before the kernel's limit on memory maps, and a training begins by looking."""

import jax
import jax.numpy as jnp
import pytest

from fsrf_jax.experiments import room, train


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that sets the limit and the number of maps."""

    def set_to(limit, maps):
        for name, text in (("LIMIT", limit), ("MAPS", maps)):
            monkeypatch.setattr(room, name, tmp_path / name)
            if text is not None:
                (tmp_path / name).write_text(text)

    return set_to


@pytest.mark.parametrize(
    ("limit", "maps", "made"),
    [
        ("1000\n", "a map\n" * 400, False),
        ("1000\n", "a map\n" * 401, True),
        (None, "a map\n" * 401, False),
        ("1000\n", None, False),
        ("unlimited", "a map\n" * 401, False),
    ],
)
def test_programs_go_when_they_are_many(limit, maps, made, system):
    system(limit, maps)
    traced = []

    @jax.jit
    def program(x):
        traced.append(x)
        return x + 1

    program(jnp.zeros(3))
    assert room.make_room() is made
    assert program(jnp.ones(3)).tolist() == [2, 2, 2]
    assert len(traced) == 1 + made


def test_every_training_looks_first(monkeypatch):
    class Looked(Exception):
        pass

    def look():
        raise Looked

    monkeypatch.setattr(train, "make_room", look)
    with pytest.raises(Looked):
        train.train_population([], None, None, None, None)

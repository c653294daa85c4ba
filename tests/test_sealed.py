"""Small files that say themselves whether they are whole."""

import json

import pytest

from fsrf_jax import arguments, sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError

CONTENT = {"b": 0.5, "a": [1, None], "c": {"d": "é"}}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.json"
    sealed.write(path, {**CONTENT, "seeds": {3: (0.25,), 10: ()}})
    assert sealed.read(path, "") == {**CONTENT, "seeds": {"3": [0.25], "10": []}}
    sealed.write(path, json.loads(path.read_text()))  # its digest is not part of itself
    assert sealed.read(path, "")["c"] == {"d": "é"}
    path.write_text(json.dumps(CONTENT))  # of an earlier version
    assert sealed.read(path, "") == CONTENT


def test_no_flipped_bit_and_no_cut_gives_other_content(tmp_path):
    path = tmp_path / "x.json"
    sealed.write(path, CONTENT)
    whole = path.read_bytes()
    refused = 0
    damages = [whole[:n] for n in range(len(whole) - 1)]
    for place in range(len(whole)):
        for bit in (0, 2, 7):
            damages.append(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    for damaged in damages:
        path.write_bytes(damaged)
        try:
            found = sealed.read(path, "make it again")
        except sealed.DamagedFile as error:
            assert str(error).startswith(f"{path}: is damaged: ")  # noqa: PT017
            assert str(error).endswith(": make it again.")  # noqa: PT017
            refused += 1
        else:
            assert {key: found[key] for key in CONTENT} == CONTENT
    assert refused > 0.8 * len(damages)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"x"', "[" * 1000])
def test_what_is_no_object_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(sealed.DamagedFile, match=r"x\.json: is damaged: .*: make it again\.$"):
        sealed.read(path, "make it again")


def test_a_config_is_read_as_it_was_saved_or_refused(tmp_path):
    path = tmp_path / "config.yaml"
    arguments.save(path, Config())
    assert arguments.load_saved(path) == Config()
    whole = path.read_bytes()
    seed = whole.index(b"seed: 0") + len("seed: ")
    cuts = [whole[:size] for size in (0, 10, whole.index(b"\n") + 1, seed - 6)]
    for damaged in (*cuts, whole[:seed] + b"1" + whole[seed + 1 :], b"null", b"[]", b"\xff"):
        path.write_bytes(damaged)
        with pytest.raises(sealed.DamagedFile, match=r"config\.yaml: is damaged: .*writes it anew"):
            arguments.load_saved(path)
    path.write_bytes(whole[whole.index(b"\n") + 1 :].replace(b"seed: 0", b"seed: 1"))
    assert arguments.load_saved(path) != Config()  # by hand
    path.write_text("training: {epoch: 3}")
    with pytest.raises(ConfigError, match=r"training\.epoch: there is no such key"):
        arguments.load_saved(path)

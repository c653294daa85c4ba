import locale

import hostile
import pytest

from fsrf_jax.errors import ConfigError, DataError, RunError
from fsrf_jax.reading.text import parse_csv, parse_json, read_csv, read_json, read_text, read_yaml


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_text_is_utf_8_whatever_the_locale(tmp_path, monkeypatch, mark):
    monkeypatch.setattr(locale, "getencoding", lambda: "latin-1")
    assert read_text(write(tmp_path, "x", f"{mark}é数")) == "é数"
    assert read_yaml(write(tmp_path, "x", f"{mark}é: 数")) == {"é": "数"}
    assert read_json(write(tmp_path, "x", f'{mark}["é"]')) == ["é"]
    assert read_csv(write(tmp_path, "x", f"{mark}é,b\n1,数\n")) == [{"é": "1", "b": "数"}]


def test_values(tmp_path):
    text = "a: &a {b: [1, 2.5, true, null, x]}\nc: *a\nd: {<<: *a, e: 0x10}\n"
    a = {"b": [1, 2.5, True, None, "x"]}
    assert read_yaml(write(tmp_path, "x", text)) == {"a": a, "c": a, "d": {**a, "e": 16}}
    assert parse_json('{"a": [1, -2.5, NaN]}', "x")["a"][:2] == [1, -2.5]
    assert read_csv(write(tmp_path, "x", 'a,b\r\n1,"x\r\ny"\r\n\r\n')) == [{"a": "1", "b": "x\ny"}]
    assert list(parse_csv(["a,b", "1,2"], "x")) == [["a", "b"], ["1", "2"]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aliases", "its aliases make more than 1000000 values"),
        ("merges", "its aliases make more than 1000000 values"),
        ("itself", "a part of it holds itself"),
        ("deep", "it is nested more than 100 deep"),
        ("megabytes", r"found 20\.0 MB, expected settings of at most 100\.0 kB"),
        ("no such date", "is not YAML: month must be in 1..12"),
        ("half a character", "surrogates not allowed"),
        ("code", "could not determine a constructor"),
        ("many digits", "a whole number has 10000 digits"),
    ],
)
def test_yaml_that_is_refused(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_yaml(write(tmp_path, "x.yaml", hostile.YAML[name]))


def test_errors_name_the_option_and_are_of_the_kind_asked_for(tmp_path):
    with pytest.raises(ConfigError, match=r"^--config: found no file .*x\.yaml\.$"):
        read_yaml(tmp_path / "x.yaml", ConfigError, "--config")
    with pytest.raises(RunError, match="found no file"):
        read_json(tmp_path / "x.json", RunError)
    with pytest.raises(RunError, match=r"^here: is not JSON: it is nested more than 100 deep"):
        parse_json("[" * 150 + "]" * 150, "here", RunError)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a long cell", "line 2: is not CSV: field larger than field limit"),
        ("a ragged row", "row 1: found 1 cells, expected 2"),
        ("a name twice", r"found the columns \['id', 'id'\]"),
        ("nothing", r"found the columns \[\]"),
        ("no UTF-8", "is no text in UTF-8"),
    ],
)
def test_csv_that_is_refused(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_csv(write(tmp_path, "x.csv", hostile.CSV[name]))

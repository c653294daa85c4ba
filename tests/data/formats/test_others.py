"""Files of another kind: named, with the line that makes of them one that is read."""

import re
import sys
import types
import zipfile

import numpy as np
import pytest

from fsrf_jax.data.formats import others
from fsrf_jax.data.load import load
from fsrf_jax.errors import DataError


def zipped(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.pt", "x/data.pkl", r"file of torch.save; if you trust it.*torch.load\('x.pt'.*savez"),
        ("x.pt", b"\x80\x02\x8a", "torch"),
        ("x.zip", "mosi/mosi.pkl", "an archive; unpack it .*: unzip x.zip"),
        ("x.pkl.gz", b"\x1f\x8b\x08\x00", "a compressed file; .*: gunzip -k x.pkl.gz"),
        ("x.joblib", b"ZF\x00", r"a file of joblib; .*joblib.load\('x.joblib'"),
        ("x.csv", b"id,label\na,1\n", r"a table; give a folder with labels\.csv"),
    ],
)
def test_the_kind_and_what_to_do(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, str):
        zipped(path, content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(path, ("audio",))


@pytest.mark.parametrize("name", ["x.npz", "x.zip"])
def test_an_archive_that_cannot_be_listed_has_one_message(tmp_path, name):
    path = tmp_path / name
    with path.open("wb") as file:
        np.savez(file, train_label=np.ones(2))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 255  # the version of the format
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as") as caught:
        load(path, ("audio",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "kind"), [("x.pt", "torch"), ("x.joblib", "joblib")])
def test_the_line_does_what_it_says(tmp_path, monkeypatch, name, kind):
    """With a module in place of the real one that loads two splits."""
    content = {"train": {"audio": np.ones((2, 3))}, "test": {"label": np.zeros(2)}}
    fake = types.ModuleType(kind)
    fake.load = lambda file, **_: content if file == name else None
    fake.as_tensor = lambda x: types.SimpleNamespace(numpy=lambda: x)
    monkeypatch.setitem(sys.modules, kind, fake)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"ZF")
    line = re.search(r'python -c "(.*)"', others.advice(tmp_path / name))[1]
    exec(line, {})
    assert sorted(np.load("x.npz")) == ["test_label", "train_audio"]

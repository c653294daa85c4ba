"""The tutorials from top to bottom, as a reader follows them, and what they quote."""

import contextlib
import io
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from command_case import ROOT, Done, call

# Fenced blocks by their language, and indented commands.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|^((?: {4}\S[^\n]*\n)+)", re.M | re.S)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?!\w)")
# Members that train one at a time are the program of the run before, which is compiled already.
ALONE = {"rank": ("--together", "1")}


def blocks(text):
    return [
        (kind or "sh" * bool(indented), body or indented)
        for kind, body, indented in BLOCK.findall(text)
    ]


def script(path, *argv):
    out = io.StringIO()
    with mock.patch.object(sys, "argv", [path, *argv]), contextlib.redirect_stdout(out):
        runpy.run_path(path, run_name="__main__")
    return Done(0, out.getvalue(), "")


def command(line):
    name, *argv = shlex.split(line)
    if name.startswith("bin/"):
        assert (ROOT / name).is_file()
        return call(name[4:], *argv, *ALONE.get(name[4:], ()))
    if name == "python":
        return script(*argv)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def block_of_python(code, names):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "tutorial", "exec"), names)
    return out.getvalue()


def quoted(line, output):
    """Whether the output has the line: its words as they are, its numbers roughly."""
    # Spaces depend on the width of the terminal, and in an array on the digits of its numbers.
    line, output = (
        re.sub(r"(?<=[\[(]) | (?=[,\])])", "", " ".join(text.split())) for text in (line, output)
    )
    words = [re.escape(part) for part in NUMBER.split(line)]
    pattern = r"([-+]?\d+(?:\.\d+)?)".join(words)
    expected = [float(number) for number in NUMBER.findall(line)]
    for match in re.finditer(rf"(?={pattern})", output):
        found = [float(number) for number in match.groups()]
        # Another machine rounds differently, and a training makes something of it.
        if all(abs(a - b) <= 0.05 + 0.1 * abs(b) for a, b in zip(found, expected, strict=True)):
            return True
    return False


def follow(text):
    """Do all that a page says in the current folder; compare what it quotes of the last step."""
    steps, output, names, quotes = blocks(text), "", {}, 0
    for number, (kind, body) in enumerate(steps):
        if kind == "sh":
            after = steps[number + 1] if number + 1 < len(steps) else ("", "")
            lines = body.replace("\\\n", " ").splitlines()
            done = [command(line.strip()) for line in lines]
            wrong = after[0] == "text" and after[1].startswith("error: ")
            statuses = [0] * (len(done) - 1) + [int(wrong)]
            assert [one.status for one in done] == statuses, (lines, done)
            output = "\n".join(one.out + one.err for one in done)
        elif kind == "python":
            output = block_of_python(body, names)
        elif kind == "yaml":
            path = re.match(r"# (\S+)\n", body)[1]
            Path(path).write_text(body)
        elif kind == "text":
            for line in body.splitlines():
                assert line == "..." or quoted(line, output), (line, output)
                quotes += 1
    return quotes


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder from which bin/ and docs/ are found, as in a checkout, and nothing else is there."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def walked(folder, name):
    """The text of a page whose steps were done in this folder, and how many lines it quotes."""
    text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    quotes = follow(text)
    for path in re.findall(r"`(example/[^`]+)`", text):
        assert (folder / path).exists(), path
    return text, quotes


def test_by_commands_a_reader_gets_what_the_page_says(checkout):
    text, quotes = walked(checkout, "tutorial")
    assert quotes > 50
    columns = set((checkout / "example" / "explained.csv").read_text().split("\n")[0].split(","))
    named = re.findall(r"`((?:observed|frame|change)_\w+|nothing|prediction)`", text)
    assert len(named) == 5
    assert set(named) <= columns


def test_in_python_a_reader_gets_what_the_page_says(checkout):
    assert walked(checkout, "tutorial-python")[1] > 25

"""Reads YAML, JSON and CSV in UTF-8, whatever the locale, with bounded depth and expansion."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from fsrf_jax.errors import DataError, UserError
from fsrf_jax.reading import limits

# PyYAML reads about 100 kB a second.
_MOST_YAML = 2**18
_MOST_NODES = 10**6


def read_text(path: str | Path, error: type[UserError] = DataError, key: str = "") -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        error: what is raised if it cannot be read.
        key: the option that names the file, for messages.

    Raises:
        UserError: there is no such file, or it is no text in UTF-8.
        OutOfMemory: it is larger than the memory at hand.
    """
    path = Path(path)
    limits.check_memory(path, limits.check_regular(path, error, key))
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: is no text in UTF-8 ({problem}).") from None


def read_yaml(path: str | Path, error: type[UserError] = DataError, key: str = "") -> Any:
    """What a YAML file holds.

    Args:
        path: the file.
        error: what is raised if it cannot be read.
        key: the option that names the file, for messages.

    Raises:
        UserError: there is no such file, it is no YAML, or it is nested or repeats itself beyond
            all bounds.
    """
    path = Path(path)
    if limits.check_regular(path, error, key) > _MOST_YAML:
        found = limits.readable(path.stat().st_size)
        raise error(f"{path}: found {found}, expected settings of at most 260 kB.")
    try:
        return yaml.load(path.read_text("utf-8-sig"), _Loader)
    except Exception as problem:  # also ValueError, of a date such as 2020-13-01
        raise error(f"{path}: is not YAML: {_reason(problem)}") from None


class _Loader(yaml.SafeLoader):
    """The safe loader, that counts what it composes before it makes values of it."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sums = [0]
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth > limits.MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {limits.MAX_DEPTH} deep")
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        self._sums.append(1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        size = self._sums.pop()
        if is_alias:
            if id(node) not in self._sizes:
                raise yaml.YAMLError("a part of it holds itself")
            size = self._sizes[id(node)]
        elif isinstance(node, yaml.ScalarNode):
            node.value.encode("utf-8")  # an escape such as \ud800 is no character
        self._sizes[id(node)] = size
        self._sums[-1] += size
        if self._sums[-1] > _MOST_NODES:
            raise yaml.YAMLError(f"its aliases make more than {_MOST_NODES} values of it")
        return node


def read_json(path: str | Path, error: type[UserError] = DataError) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: there is no such file, it is no JSON, or it is nested beyond all bounds.
    """
    return parse_json(read_text(path, error), str(path), error)


def parse_json(text: str, where: str, error: type[UserError] = DataError) -> Any:
    """What JSON text holds.

    Args:
        text: JSON.
        where: it stands, for messages.
        error: what is raised if it is none.
    """
    try:
        content = json.loads(text)
        _check_json(content)
        return content
    except (ValueError, RecursionError) as problem:
        raise error(f"{where}: is not JSON: {_reason(problem)}") from None


def _check_json(content: Any) -> None:
    """Nothing, if no part is nested too deep, and all text is of characters."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > limits.MAX_DEPTH:
            raise ValueError(f"it is nested more than {limits.MAX_DEPTH} deep")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii():
                item.encode("utf-8")
        level = below


def read_csv(path: str | Path, error: type[UserError] = DataError) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its first line.

    Raises:
        UserError: there is no such file, it is no CSV in UTF-8, a name stands there twice, or a row
            has more or fewer cells than the first line.
    """
    # Not splitlines: a cell in quotes may hold line breaks.
    rows = parse_csv(io.StringIO(read_text(path, error), newline=""), str(path), error)
    header = next(rows, [])
    if not header or len(set(header)) < len(header):
        raise error(f"{path}: found the columns {_short(header)}, expected different names.")
    found = []
    for number, row in enumerate(rows, 1):
        if row and len(row) != len(header):
            raise error(f"{path}: row {number}: found {len(row)} cells, expected {len(header)}.")
        if row:
            found.append(dict(zip(header, row, strict=True)))
    return found


def parse_csv(
    lines: Iterable[str], where: str, error: type[UserError] = DataError
) -> Iterator[list[str]]:
    """The cells of every line of CSV text.

    Args:
        lines: of the text.
        where: they stand, for messages.
        error: what is raised if they are no CSV.
    """
    rows = csv.reader(lines)
    try:
        yield from rows
    except csv.Error as problem:
        raise error(f"{where}: line {rows.line_num}: is not CSV: {problem}") from None


def _reason(problem: Exception) -> str:
    deep = isinstance(problem, RecursionError)
    return "it is nested too deep" if deep else _short(" ".join(str(problem).split()))


def _short(found: object) -> str:
    text = str(found)
    return text if len(text) < 300 else f"{text[:300]} ..."

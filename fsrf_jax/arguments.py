"""From YAML files and the command line to a checked config, and one message for every mistake.

jsonargparse reads the option dataclasses and checks types; unknown keys are looked for before it,
so that the message can name the nearest valid key. Which options the section `method` has depends
on `method.name`, which is therefore looked for first of all.
"""

import argparse
import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from fsrf_jax import config as configuration
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError
from fsrf_jax.files import read_yaml
from fsrf_jax.methods import METHODS

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

DEFAULT_METHOD = Config().method.name

RENAMED = {
    "losses.task.": "task.",
    "losses.distillation.warmup": "method.distillation.warmup (a share of the training)",
    "losses.": "method.",
    "weights.": "method.weights.",
    "missing.clean_view": "method.complete_view",
}
"""Keys of version 0.1 by their beginning, and what they are now; the first that fits holds."""

MAPPINGS = ("--missing.subset_weights.", "--method.weights.feature_distillation.")
"""Options whose own keys may be given one by one."""


def make_parser(
    command: str, description: str, argv: Sequence[str] = (), *, usage: str = ""
) -> jsonargparse.ArgumentParser:
    """A parser with `--config`, `--print_config` and every option of an experiment.

    Args:
        command: its name.
        description: what `--help` says first.
        argv: the arguments; they name the method whose options the parser has.
        usage: arguments of this command alone.

    Raises:
        ConfigError: there is no such method.
    """
    method = method_name(argv)
    parser = jsonargparse.ArgumentParser(
        prog=command,
        usage=f"{command} [--config FILE ...] [--SECTION.OPTION VALUE ...]{usage and ' '}{usage}",
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        print_config=None,
    )
    parser.add_argument("--config", action="config", help="YAML file; later options override it")
    parser.add_argument(
        "--print_config", action="store_true", help="print the resolved config as YAML, and exit"
    )
    for name, section in _sections(method).items():
        parser.add_class_arguments(section, name)
    return parser


def method_name(argv: Sequence[str]) -> str:
    """The method that the arguments and the config files name, or the default one.

    Raises:
        ConfigError: there is no such method.
    """
    found: Any = DEFAULT_METHOD
    for option, value in _values(argv):
        if option == "--method.name":
            found = value
        elif option == "--config":
            found = _method_of_file(Path(value)) or found
    if not isinstance(found, str) or found not in METHODS:
        raise ConfigError(f"method.name: found {found!r}, expected one of {', '.join(METHODS)}.")
    return found


def parse(
    parser: jsonargparse.ArgumentParser, argv: Sequence[str]
) -> tuple[Config, argparse.Namespace]:
    """The checked config, and everything that was parsed.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range, or an unreadable file.
        SystemExit: after `--help` or `--print_config`.
    """
    method = method_name(argv)
    _check_options(parser, argv, method)
    for path in _config_paths(argv):
        _check_file(Path(path), method)
    try:
        parsed = parser.instantiate(parser.parse_args(list(argv)))
    except argparse.ArgumentError as error:
        raise ConfigError(_one_line(str(error))) from error
    fields = {field.name: parsed[field.name] for field in dataclasses.fields(Config)}
    config = configuration.check(Config(**fields))
    if parsed.print_config:
        print(to_yaml(config), end="")
        raise SystemExit(0)
    return config, parsed


def parse_plain(parser: jsonargparse.ArgumentParser, argv: Sequence[str]) -> jsonargparse.Namespace:
    """Arguments of a command that takes no config.

    Raises:
        ConfigError: an unknown option, or a missing or mistyped argument.
        SystemExit: after `--help`.
    """
    _check_options(parser, argv)
    try:
        return parser.parse_args(list(argv))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{_one_line(str(error))}; see {parser.prog} --help.") from error


def load(path: Path) -> Config:
    """The config of a YAML file, with defaults for what it leaves out.

    Raises:
        ConfigError: as `parse`.
    """
    argv = ["--config", str(path)]
    return parse(make_parser("config", "", argv), argv)[0]


def to_yaml(config: Config) -> str:
    """The config as YAML that `load` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return yaml.safe_dump(plain(dataclasses.asdict(config)), sort_keys=False)


def config_name(argv: Sequence[str]) -> str:
    """Stems of the config files given, which name the default run folder."""
    return "-".join(Path(path).stem for path in _config_paths(argv)) or "defaults"


def _sections(method: str) -> dict[str, Any]:
    """The option dataclass of every section, with those of a method."""
    types = {item.name: item.type for item in dataclasses.fields(Config)}
    return types | {"method": METHODS[method]}


def _keys(method: str) -> list[str]:
    """Every dotted key of an experiment with that method."""
    return list(configuration.flatten(Config(method=METHODS[method]())))


def _values(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Every option that may have a value, with what follows it."""
    found = []
    for option, following in zip(argv, [*argv[1:], ""], strict=False):
        name, given, value = option.partition("=")
        if name.startswith("--"):
            found.append((name, value if given else following))
    return found


def _config_paths(argv: Sequence[str]) -> list[str]:
    return [value for name, value in _values(argv) if name == "--config"]


def _method_of_file(path: Path) -> Any:
    """`method.name` of a YAML file; None where there is none, or what is wrong is told later."""
    try:
        content = read_yaml(path, "--config")
    except (OSError, ConfigError):
        return None
    section = content.get("method") if isinstance(content, dict) else None
    return section.get("name") if isinstance(section, dict) else None


def _check_options(
    parser: jsonargparse.ArgumentParser, argv: Sequence[str], method: str | None = None
) -> None:
    known = [option for action in parser._actions for option in action.option_strings]
    for option in argv:
        name = option.partition("=")[0]
        if not name.startswith("--") or name in known or name == "--":
            continue
        if name.rpartition(".")[0] in known and name.startswith(MAPPINGS):
            continue
        where = _elsewhere(name.removeprefix("--"), method) if method else None
        raise ConfigError(
            f"{name}: {where or f'there is no such option; {_nearest(name, known)}'}."
        )


def _elsewhere(key: str, method: str) -> str | None:
    """Where a key is to be found that is none here: under a new name, or with another method."""
    for old, new in RENAMED.items():
        if key.startswith(old):
            return f"is now {new}{'' if new.endswith(')') else key.removeprefix(old)}"
    mapping = key.rpartition(".")[0]  # of which the key may be one of the names
    others = [n for n in METHODS if n != method and {key, mapping} & set(_keys(n))]
    if others:
        return f"is an option of the method {' and '.join(others)}, and method.name is {method}"
    return None


def _check_file(path: Path, method: str) -> None:
    if not path.is_file():
        others = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = f"; {_nearest(str(path), others)}" if others else ""
        raise ConfigError(f"--config: found no file {path}{hint}.")
    _check_keys(read_yaml(path, "--config"), _sections(method), str(path), "", method)


def _check_keys(
    content: Any, fields: Mapping[str, Any], path: str, prefix: str, method: str
) -> None:
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: {prefix.rstrip('.') or 'the file'}: found {content!r}, expected a section "
            f"with the keys {', '.join(fields)}."
        )
    for key, value in content.items():
        if key not in fields:
            leaf = _first_leaf(f"{prefix}{key}", value)
            where = _elsewhere(leaf, method)
            if where:
                raise ConfigError(f"{path}: {leaf}: {where}.")
            close = difflib.get_close_matches(str(key), fields, 1, cutoff=0.6)
            known = [prefix + close[0]] if close else _keys(method)
            hint = _nearest(f"{prefix}{key}", known)
            raise ConfigError(f"{path}: {prefix}{key}: there is no such key; {hint}.")
        if dataclasses.is_dataclass(fields[key]):
            below = {item.name: item.type for item in dataclasses.fields(fields[key])}
            _check_keys(value, below, path, f"{prefix}{key}.", method)


def _first_leaf(key: str, value: Any) -> str:
    """The dotted key of the first value below a key."""
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        key = f"{key}.{name}"
    return key


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the most similar name, by the whole name or by its last part."""
    known = list(known)
    whole = difflib.get_close_matches(name, known, 1, cutoff=0.75)
    last = {option.rpartition(".")[2]: option for option in known}
    part = difflib.get_close_matches(name.rpartition(".")[2].lstrip("-"), last, 1, cutoff=0.6)
    if not whole and not part:
        return "--help lists all names"
    return f"the nearest is {whole[0] if whole else last[part[0]]}"


def _one_line(message: str) -> str:
    message = message.replace("Expected a <class 'tuple'>", "Expected a list such as [a,b]")
    message = re.sub(r"Expected a typing.Literal\[([^\]]*)\]", r"Expected one of \1", message)
    message = re.sub(r'Parser key "([^"]+)":?', r"\1:", message)
    return re.sub(r"\s+", " ", message.replace("<class ", "").replace("'>", "'")).strip()


class _HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Keeps the line breaks of the description: examples stand there."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())

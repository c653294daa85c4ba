"""The command line: a YAML file, dotted overrides, and one clear message for every mistake.

jsonargparse reads the dataclasses of fsrf_jax.config and checks types; unknown keys are looked
for before it, so that the message can name the nearest valid key.
"""

import argparse
import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from fsrf_jax import config as configuration
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)


def make_parser(command: str, description: str) -> jsonargparse.ArgumentParser:
    """A parser with `--config`, `--print_config` and every field of the config."""
    parser = jsonargparse.ArgumentParser(
        prog=command, description=description, exit_on_error=False, print_config=None
    )
    parser.add_argument("--config", action="config", help="YAML file; later options override it")
    parser.add_argument(
        "--print_config", action="store_true", help="print the resolved config as YAML, and exit"
    )
    parser.add_class_arguments(Config, None)
    return parser


def parse(
    parser: jsonargparse.ArgumentParser, argv: Sequence[str]
) -> tuple[Config, argparse.Namespace]:
    """The checked config, and everything that was parsed.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range, or an unreadable file.
        SystemExit: after `--help` or `--print_config`.
    """
    _check_options(parser, argv)
    for path in _config_paths(argv):
        _check_file(Path(path))
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
    return parse(make_parser("config", ""), ["--config", str(path)])[0]


def to_yaml(config: Config) -> str:
    """The config as YAML that `load` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return yaml.safe_dump(plain(dataclasses.asdict(config)), sort_keys=False)


def config_name(argv: Sequence[str]) -> str:
    """Stems of the config files given, which name the default run folder."""
    return "-".join(Path(path).stem for path in _config_paths(argv)) or "defaults"


def _config_paths(argv: Sequence[str]) -> list[str]:
    paths = []
    for option, following in zip(argv, [*argv[1:], ""], strict=False):
        if option == "--config":
            paths.append(following)
        elif option.startswith("--config="):
            paths.append(option.partition("=")[2])
    return paths


def _check_options(parser: jsonargparse.ArgumentParser, argv: Sequence[str]) -> None:
    known = [option for action in parser._actions for option in action.option_strings]
    for option in argv:
        name = option.partition("=")[0]
        if not name.startswith("--") or name in known or name == "--":
            continue
        if name.startswith(("--missing.subset_weights.", "--weights.feature_distillation.")):
            continue
        raise ConfigError(f"{name}: there is no such option; {_nearest(name, known)}.")


def _check_file(path: Path) -> None:
    if not path.is_file():
        beside = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = f"; {_nearest(str(path), beside)}" if beside else ""
        raise ConfigError(f"--config: found no file {path}{hint}.")
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {_one_line(str(error))}") from error
    _check_keys(content, Config, str(path), "")


def _check_keys(content: Any, section: Any, path: str, prefix: str) -> None:
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: {prefix.rstrip('.') or 'the file'}: found {content!r}, expected a section "
            f"with the keys {', '.join(f.name for f in dataclasses.fields(section))}."
        )
    fields = {field.name: field.type for field in dataclasses.fields(section)}
    for key, value in content.items():
        if key not in fields:
            everywhere = configuration.flatten(Config())
            close = difflib.get_close_matches(str(key), fields, 1, cutoff=0.6)
            hint = _nearest(f"{prefix}{key}", [prefix + close[0]] if close else everywhere)
            raise ConfigError(f"{path}: {prefix}{key}: there is no such key; {hint}.")
        if dataclasses.is_dataclass(fields[key]):
            _check_keys(value, fields[key], path, f"{prefix}{key}.")


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

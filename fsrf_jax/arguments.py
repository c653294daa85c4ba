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
import numpy as np
import yaml

from fsrf_jax import config as configuration
from fsrf_jax import packaged, sealed
from fsrf_jax.config import Config
from fsrf_jax.errors import ConfigError, UserError
from fsrf_jax.files import write_text
from fsrf_jax.methods import METHODS
from fsrf_jax.reading.text import read_text, read_yaml

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

_DIGEST = "# digest of what follows: "

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
    parser.add_argument(
        "--config",
        action=_ConfigFile,
        help="YAML file, or the name of a packaged one, as demo; later options override it",
    )
    parser.add_argument(
        "--print_config", action="store_true", help="print the resolved config as YAML, and exit"
    )
    _add_sections(parser, method)
    return parser


def _add_sections(parser: jsonargparse.ArgumentParser, method: str) -> None:
    for name, section in _sections(method).items():
        parser.add_class_arguments(section, name)


def _parser_of(method: str) -> jsonargparse.ArgumentParser:
    """A parser of a config alone."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False, print_config=None)
    _add_sections(parser, method)
    return parser


def _checked(parsed: jsonargparse.Namespace) -> Config:
    fields = {field.name: parsed[field.name] for field in dataclasses.fields(Config)}
    return configuration.check(Config(**fields))


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
            found = _method_of_file(value) or found
    return _known_method(found)


def _known_method(name: Any) -> str:
    if not isinstance(name, str) or name not in METHODS:
        raise ConfigError(
            f"method.name: found {name!r}, expected one of {', '.join(METHODS)}; one of your own "
            "has to be entered in METHODS first (docs/extending.md)."
        )
    return name


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
    _check_section_options(argv, method)
    for path in _config_paths(argv):
        _check_file(path, method)
    try:
        parsed = parser.instantiate(parser.parse_args(list(argv)))
    except argparse.ArgumentError as error:
        raise ConfigError(_one_line(str(error))) from error
    config = _checked(parsed)
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


ConfigLike = Config | Mapping[str, Any] | str | Path


def load(
    config: ConfigLike | Sequence[ConfigLike], overrides: Mapping[str, Any] | None = None
) -> Config:
    """The checked config, with defaults for what is left out.

    Args:
        config: a config; a mapping, whose keys are sections or dotted names; a YAML file, by path
            or by the name of a packaged one; or a list of these, each on top of those before it.
        overrides: values by dotted name, in place of those of the config.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range, or an unreadable file.
    """
    sources = [config] if isinstance(config, Config | Mapping | str | Path) else list(config)
    where = ", ".join("config" if isinstance(s, Config | Mapping) else str(s) for s in sources)
    content: dict[str, Any] = {}
    for source in sources:
        _merge(content, _content(source))
    if overrides:
        where += " and overrides"
        _merge(content, overrides)
    method = _known_method(_name_in(content) or DEFAULT_METHOD)
    _check_keys(content, _sections(method), where, "", method)
    parser = _parser_of(method)
    try:
        parsed = parser.instantiate(parser.parse_object(content))
    except argparse.ArgumentError as error:
        raise ConfigError(f"{where}: {_one_line(str(error))}") from error
    return _checked(parsed)


def save(path: Path, config: Config) -> None:
    """Write the config of a run: its digest as a comment in the first line, then YAML."""
    text = to_yaml(config)
    write_text(path, f"{_DIGEST}{sealed.digest(text)}\n{text}")


def load_saved(path: Path) -> Config:
    """The config that `save` wrote.

    A file without a digest, of an earlier version or by hand, is taken as it is.

    Raises:
        DamagedFile: there is none, it does not have its digest, or it is no YAML.
        ConfigError: see `load`.
    """
    try:
        first, _, rest = read_text(path, ConfigError).partition("\n")
        if first.startswith(_DIGEST) and first.removeprefix(_DIGEST) != sealed.digest(rest):
            raise ConfigError("it does not have the digest in its first line")
        found = read_yaml(path, ConfigError)
        if not isinstance(found, dict):
            raise ConfigError(f"found {found!r}, expected settings")
    except UserError as error:
        what = str(error).removeprefix(f"{path}: ")
        remedy = (
            "the same bin/train command writes it anew; if it was changed by hand, remove its "
            "first line"
        )
        raise sealed.damaged(path, what, remedy) from error
    return load(path)


def to_yaml(config: Config) -> str:
    """The config as YAML that `load` reads back."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def to_mapping(config: Config) -> dict[str, Any]:
    """The config as sections of dictionaries, lists and scalars, as YAML and JSON have them."""
    return _plain(dataclasses.asdict(config))


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


def _method_of_file(name: str) -> Any:
    """`method.name` of a YAML file; None where there is none, or what is wrong is told later."""
    try:
        content = read_yaml(packaged.find(name), ConfigError, "--config")
    except (OSError, ConfigError):
        return None
    return _name_in(content)


def _name_in(content: Any) -> Any:
    """`method.name` of a config's content; None where there is none."""
    section = content.get("method") if isinstance(content, dict) else None
    return section.get("name") if isinstance(section, dict) else None


def _plain(value: Any) -> Any:
    """A value as YAML has it: dictionaries, lists and scalars; NumPy's as Python's own."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, tuple | list | range) else value


def _content(source: ConfigLike) -> Mapping[str, Any]:
    """What a config, a mapping or a YAML file holds."""
    if isinstance(source, Config):
        return dataclasses.asdict(source)
    if isinstance(source, Mapping):
        return source
    content = _read_file(source, "config")
    if not isinstance(content, dict):
        _check_keys(content, _sections(DEFAULT_METHOD), str(source), "", DEFAULT_METHOD)
    return content


def _merge(content: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Put the values of a later source in place of those of earlier ones.

    Another method's name takes all options of the earlier method away, if that was named: options
    without a name are meant for whichever it will be, as in configs/demo.yaml.
    """
    named, before = _name_in(_nested(later)), _name_in(content)
    if before is not None and named is not None and named != before:
        content.pop("method", None)
    for key, value in later.items():
        _set(content, str(key), _plain(value))


def _nested(content: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping whose keys may be dotted names, as sections."""
    nested: dict[str, Any] = {}
    for key, value in content.items():
        _set(nested, str(key), _plain(value))
    return nested


def _set(content: dict[str, Any], key: str, value: Any, prefix: str = "") -> None:
    """Set the value of a dotted name; a section that is there keeps its other keys."""
    section, _, rest = key.partition(".")
    name, below = f"{prefix}{section}", content.get(section)
    whole = not rest and (not isinstance(value, dict) or f"--{name}." in MAPPINGS)
    if whole:
        content[section] = value
        return
    content[section] = below if isinstance(below, dict) else {}
    for inner, item in ({rest: value} if rest else value).items():
        _set(content[section], str(inner), item, f"{name}.")


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


def _check_section_options(argv: Sequence[str], method: str) -> None:
    """Refuse what looks like the value of one option behind the name of a whole section."""
    for name, value in _values(argv):
        section = _sections(method).get(name.removeprefix("--"))
        if not dataclasses.is_dataclass(section) or value.lstrip().startswith("{"):
            continue
        if Path(value).suffix not in (".yaml", ".yml", ".json"):  # a file may hold a section
            options = ", ".join(f"{name}.{item.name}" for item in dataclasses.fields(section))
            raise ConfigError(
                f"{name}: found {value!r}; it is a section with the options {options}."
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


def _check_file(path: str, method: str) -> None:
    content = _read_file(path)
    _check_keys(content, _sections(method), path, "", method)
    named = _name_in(content)
    if named is not None and named != method:
        raise ConfigError(
            f"{path}: method.name: found {named}, and {method} later: give one method."
        )


def _read_file(name: str | Path, key: str = "--config") -> Any:
    path = packaged.find(name, key=key)
    if not path.is_file():
        others = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        hint = f"; {_nearest(str(path), others)}" if others else ""
        raise ConfigError(f"{key}: found no file {path}{hint}.")
    return read_yaml(path, ConfigError, key)


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


class _ConfigFile(jsonargparse.ActionConfigFile):
    """Reads the file by the guarded loader; the library would take the encoding of the locale."""

    @staticmethod
    def apply_config(parser: Any, cfg: Any, dest: str, value: str) -> None:
        # In ASCII, since the library first asks whether there is a file of that name.
        text = yaml.safe_dump(read_yaml(packaged.find(value), ConfigError, "--config"))
        jsonargparse.ActionConfigFile.apply_config(parser, cfg, dest, text)


class _HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Keeps the line breaks of the description: examples stand there."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())

"""The YAML files that come with the package, found by name from anywhere.

They stand in configs/ at the top of a checkout, and inside the package where it was installed from
a wheel. Wherever a command or a function takes a config file, it takes such a name as well: `demo`,
`worlds/small`, `methods/corrkd`; an ablation, a search and a method of a ranking also without their
folder, as `terms` for `ablations/terms`.
"""

import difflib
from pathlib import Path

from fsrf_jax.errors import ConfigError

SUFFIX = ".yaml"

NO_CONFIGS = ("ablations/", "searches/", "protocols/own/")
"""Folders of files that are something else than a config."""


def folder() -> Path:
    """Where the files are: in the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def names(kind: str = "") -> list[str]:
    """Names of the files, without suffix, below one folder; without a folder, those of configs.

    Args:
        kind: a folder of configs/, such as "ablations".
    """
    root = folder() / kind
    found = (path.relative_to(root).with_suffix("").as_posix() for path in root.rglob(f"*{SUFFIX}"))
    return sorted(name for name in found if kind or not name.startswith(NO_CONFIGS))


def find(name: str | Path, kind: str = "", key: str = "--config") -> Path:
    """The file that a user means by a path, or by a name without a suffix.

    A file in the current folder, NAME or NAME.yaml, goes before a packaged one.

    Args:
        name: a path, which is given back as it is if it has a suffix; or a name.
        kind: the folder of configs/ that names are looked for in, with it in front or without.
        key: the option that gives the name, for messages.

    Raises:
        ConfigError: there is no such name.
    """
    text = str(name)
    path = Path(text)
    if path.is_file():
        return path
    known = names(kind)
    if path.suffix:
        _check_path(path, known, kind, key)
        return path
    if path.name and (beside := path.with_name(f"{path.name}{SUFFIX}")).is_file():
        return beside
    short = _without_kind(text, kind)
    if short in known:
        return folder() / kind / f"{short}{SUFFIX}"
    nearest = difflib.get_close_matches(short, known, 3, cutoff=0.5)
    hint = f"; the nearest: {', '.join(nearest)}" if nearest else ""
    raise ConfigError(
        f"{key}: found no file {text!r} and no packaged file of that name{hint}. Expected a path, "
        f"or one of {', '.join(known)}."
    )


def _check_path(path: Path, known: list[str], kind: str, key: str) -> None:
    """Refuse a path of a checkout where there is none: the file is packaged, by its name."""
    plain = path.with_suffix("").as_posix().removeprefix("configs/")
    if path.suffix == SUFFIX and _without_kind(plain, kind) in known:
        raise ConfigError(f"{key}: found no file {path}; the packaged one is called {plain}.")


def _without_kind(name: str, kind: str) -> str:
    return name.removeprefix(f"{kind}/") if kind else name

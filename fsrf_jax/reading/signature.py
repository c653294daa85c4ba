"""What kind of file a path is, told from its first bytes."""

from pathlib import Path

_SIGNATURES = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x93NUMPY", "npy"),
    (b"\x1f\x8b", "gzip"),
    (b"version https://git-lfs", "Git LFS pointer"),
    (b"<!DOCTYPE", "web page"),
    (b"<html", "web page"),
    (b"\x80", "pickle"),
)


def kind(path: Path) -> str:
    """The kind of file by its signature; `unknown` where none fits (a pickle may have none)."""
    if not path.is_file():
        return "no regular file"  # which may make the reader wait
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        return "empty"
    return next((name for start, name in _SIGNATURES if head.startswith(start)), "unknown")


def describe(path: Path) -> str:
    """What was found, for an error message: kind, first bytes and size."""
    with path.open("rb") as file:
        head = file.read(12)
    size = path.stat().st_size
    found = kind(path)
    if found == "empty":
        return "an empty file"
    name = "a file of unknown kind" if found == "unknown" else f"a file that starts as {found}"
    return f"{name} (first bytes {head!r}, {size} bytes in all)"

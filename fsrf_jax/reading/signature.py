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
# How binary files start that text mode does not change: zip, npy and pickles of any protocol.
_WITHOUT_ENDS = (b"PK\x03\x04", b"\x93NUMPY", b"\x80", b"(dp", b"(lp", b"}q", b"]q")
_MANY = 4  # line ends


def kind(path: Path) -> str:
    """The kind of file by its signature; `unknown` where none fits (a pickle may have none)."""
    if not path.is_file():
        return "no regular file"  # which may make the reader wait
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        return "empty"
    return next((name for start, name in _SIGNATURES if head.startswith(start)), "unknown")


def turned(path: Path) -> bool:
    """Whether a transfer in text mode seems to have turned the line ends of a binary file."""
    with path.open("rb") as file:
        start = file.read(2**20)
    if start.startswith((b"\x89HDF\n", b"\x89HDF\r\r\n")):
        return True
    # In binary content one in 256 line feeds follows a carriage return by chance; here all do.
    return start.startswith(_WITHOUT_ENDS) and start.count(b"\n") == start.count(b"\r\n") >= _MANY


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

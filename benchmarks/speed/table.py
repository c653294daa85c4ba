"""Finished cells as Markdown: ratios; absolute numbers only of a GPU, which nobody shares."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Cells = Mapping[str, Mapping[str, Any]]
PIECES = {"shape": "mosi", "width": 40, "batch": 32}
TIMED = ("training", "predicting")


def ratio(these: Sequence[float], ours: Sequence[float]) -> str:
    """Median of the ratios within the rounds, with their range."""
    each = [a / b for a, b in zip(these, ours, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def line_of(cell: Mapping[str, Any]) -> str:
    """A finished cell in a few words."""
    if "failed" in cell:
        return f"failed: {cell['failed']}"
    if "peak_mb" in cell:
        return f"{cell['peak_mb']:.0f} MB"
    if "times" in cell:
        return ", ".join(cell["times"])
    seconds = cell["seconds"]
    first = next(iter(seconds))
    others = [f"{name} {ratio(seconds[name], seconds[first])}" for name in seconds if name != first]
    return f"in units of {first}: " + (", ".join(others) or "alone")


def table(setup: Mapping[str, Any], cells: Cells) -> str:
    """All sections that have a cell."""
    of_kind: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells.values():
        of_kind.setdefault(cell["kind"], []).append(cell)
    parts = [_head(setup)]
    speed = [cell for kind in TIMED for cell in of_kind.get(kind, [])]
    if speed:
        parts += [_speed(setup, speed)]
    if memory := [cell for cell in of_kind.get("memory", []) if "failed" not in cell]:
        parts += [_memory(setup, memory)]
    writers = {
        "methods": _methods,
        "samples": _samples,
        "frames": _frames,
        "starts": _starts,
        "pieces": _pieces,
    }
    for kind, write in writers.items():
        good = [cell for cell in of_kind.get(kind, []) if "failed" not in cell]
        parts += [write(setup, cell) for cell in good]
    failed = [f"- {name}: {cell['failed']}" for name, cell in cells.items() if "failed" in cell]
    if failed:
        parts += ["Not measured:\n\n" + "\n".join(failed)]
    return "\n\n".join(parts) + "\n"


def _head(setup: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in setup["versions"].items())
    cores = "one core" if setup["threads"] == 1 else f"{setup['threads']} cores"
    quick = " --quick" if setup["quick"] else ""
    torch = "" if "torch" in setup["versions"] else " PyTorch is not installed: ours alone."
    return (
        f"# Speed on {setup['device']}\n\n"
        f"{setup['date']}; {cores} for every program; Python {setup['python']}, {versions}; "
        f"`benchmarks/run{quick}`, {setup['rounds']} rounds. A ratio "
        f"is the median over rounds of programs in turn, with its range.{torch}"
    )


def _rows(head: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("|" + "|".join(map(str, row)) + "|" for row in [head, rule, *rows])


def _speed(setup: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    head = ["what", "shape", "d", "batch", "eager / ours", "torch.compile / ours", "of the peak"]
    head += [] if setup["cpu"] else ["ours, samples/s", "eager, samples/s"]
    rows = []
    for cell in cells:
        numbers = cell["numbers"]
        row = [cell["kind"], *(numbers[key] for key in ("shape", "width", "batch"))]
        if "failed" in cell:
            rows.append([*row, *["not measured"] * (len(head) - len(row))])
            continue
        seconds = cell["seconds"]
        for name in ("eager", "compiled"):
            row.append(ratio(seconds[name], seconds["ours"]) if name in seconds else "")
        row.append(f"{100 * statistics.median(cell['peak_share']):.0f} %")
        if not setup["cpu"]:
            for name in ("ours", "eager"):
                known = name in seconds
                rate = cell["samples"] / statistics.median(seconds[name]) if known else 0
                row.append(f"{rate:,.0f}" if known else "")
        rows.append(row)
    note = (
        "Time of PyTorch for the same samples, in units of ours: above 1 ours is faster. "
        "`of the peak`: floating-point operations that XLA counts in ours, a second, as a share of "
        "those of one large float32 matrix product in the same process. `t100` is the shape of "
        "mosi with 100 frames."
    )
    return f"## Training and predicting\n\n{note}\n\n{_rows(head, rows, 2)}"


def _memory(setup: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    found: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for cell in cells:
        numbers = cell["numbers"]
        key = numbers["shape"], numbers["width"], numbers["batch"]
        found.setdefault(key, {})[numbers["program"]] = cell
    head = ["shape", "d", "batch", "eager / ours", "of these after import", "once compiled"]
    head += [] if setup["cpu"] else ["ours on the device, MB", "eager, MB"]
    rows = []
    for key, of in found.items():
        row: list[Any] = list(key)
        parts = [{name: cell["peak_mb"] for name, cell in of.items()}]
        parts += [{name: cell["peak_mb"] - cell["imported_mb"] for name, cell in of.items()}]
        parts += [{name: cell["running_mb"] for name, cell in of.items()}]
        row += [f"{p['eager'] / p['ours']:.2f}" if len(p) == 2 else "" for p in parts]
        if not setup["cpu"]:
            row += [f"{of[n]['device_mb']:.0f}" if n in of else "" for n in ("ours", "eager")]
        rows.append(row)
    note = (
        "Peak resident memory of a process that trains, PyTorch's in units of ours: of all, "
        "imports and compiling with it; without what is resident after the import; and of steps "
        "alone, once all is compiled. Above 1 ours needs less."
    )
    return f"## Memory of training\n\n{note}\n\n{_rows(head, rows)}"


def _methods(setup: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    seconds, samples = cell["seconds"], cell["samples"]
    head = ["method", "samples/s, in units of fsrf"] + ([] if setup["cpu"] else ["samples/s"])
    rows = []
    for name, of_each in seconds.items():
        row = [name, ratio(seconds["fsrf"], of_each)]
        rows.append(row if setup["cpu"] else [*row, f"{samples / statistics.median(of_each):,.0f}"])
    return f"## Every method\n\nTraining, shape mosi, d = 40, batch 32.\n\n{_rows(head, rows)}"


def _samples(setup: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    del setup
    seconds = cell["seconds"]
    first = min(seconds, key=int)
    rows = []
    for n, of_each in seconds.items():
        grown = ratio(of_each, [s * int(n) / int(first) for s in seconds[first]])
        rows.append([n, ratio(of_each, seconds[first]), grown])
    head = ["samples", f"time of an epoch / that of {first}", "time of a sample / the same"]
    note = "Whole epochs with validation, shape mosi, d = 40, batch 32: linear is 1 in the last."
    return f"## Time by number of samples\n\n{note}\n\n{_rows(head, rows)}"


def _frames(setup: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    del setup
    seconds = cell["seconds"]
    most = max(seconds, key=int)
    rows = [[t, ratio(of_each, seconds[most])] for t, of_each in seconds.items()]
    head = ["frames of audio and vision", f"time of a step / that of {most}"]
    note = (
        "Training, shape mosei, d = 40, batch 32, with sequences that are cut: the most that "
        "batches of samples of like length would gain."
    )
    return f"## Time by number of frames\n\n{note}\n\n{_rows(head, rows)}"


def _starts(setup: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    times = cell["times"]
    unit, whole = times["ours cold"]["first_step"], times["ours cold"]["whole"]
    head = ["", "to the first step", "import", "trace", "lower", "compile", "whole demo", "MAE"]
    parts = ("import_all", "jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile")
    rows = []
    for name, of in times.items():
        first = f"{of['first_step'] / unit:.2f}"
        if name == "eager":
            rows.append([name, first, *[""] * 6])
            continue
        shares = [f"{of[part] / unit:.2f}" for part in parts]
        rows.append([name, first, *shares, f"{of['whole'] / whole:.2f}", f"{of['mae']:.4f}"])
    seconds = "" if setup["cpu"] else f" They are {unit:.1f} s and {whole:.1f} s."
    note = (
        "`bin/train --config demo` with an empty cache folder and again with what it left there. "
        "The first columns are in units of ours, cold, to the first step; the whole in units of "
        "ours, cold. Tracing, lowering and compiling are those of the whole command. `eager` is a "
        "PyTorch process to the end of its first step." + seconds
    )
    return f"## Start and demo\n\n{note}\n\n{_rows(head, rows)}"


def _pieces(setup: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    del setup
    seconds = cell["seconds"]
    whole = seconds["the step"]
    rows = [
        [name, f"{100 * statistics.median(a / b for a, b in zip(s, whole, strict=True)):.1f} %"]
        for name, s in seconds.items()
    ]
    note = (
        "Shape mosi, d = 40, batch 32, processor time on a CPU; each part is compiled alone, so "
        "that they do not add up."
    )
    return f"## A training step by its parts\n\n{note}\n\n{_rows(['part', 'share'], rows)}"

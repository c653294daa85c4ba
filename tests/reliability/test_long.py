"""A run of 2,000 epochs: memory and open files do not grow, files grow by the epoch alone."""

import time
from pathlib import Path

import pytest
from command_case import TINY, finish, start
from trials import number_of

pytestmark = pytest.mark.slow

EPOCHS = number_of("FSRF_EPOCHS", 2000)


def test_memory_files_and_logs(tmp_path):
    folder = tmp_path / "run"
    process = start("train", *TINY, "--training.epochs", str(EPOCHS), "--output.directory", folder)
    own = Path("/proc", str(process.pid))
    seen = []  # epoch, kB resident, open files
    try:
        while process.poll() is None:
            time.sleep(0.2)
            journal = folder / "metrics.jsonl"
            if not journal.exists():
                continue
            try:
                status = (own / "status").read_text()
                resident = int(status.partition("VmRSS:")[2].split()[0])
                files = len(list((own / "fd").iterdir()))
                seen.append((journal.read_bytes().count(b"\n"), resident, files))
            except (OSError, IndexError):
                break
    finally:
        done = finish(process)
    assert done.status == 0, done.err
    # A save under way holds files and memory of its own, so halves are compared by their maxima.
    early = [row for row in seen if EPOCHS * 0.1 <= row[0] < EPOCHS * 0.5]
    late = [row for row in seen if EPOCHS * 0.5 <= row[0] < EPOCHS]
    memory, most = (max(row[1] for row in rows) / 1024 for rows in (early, late))
    files, most_files = (max(row[2] for row in rows) for rows in (early, late))
    sizes = {p.name: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    journal = sizes["metrics.jsonl"] / EPOCHS
    events = sum(size for name, size in sizes.items() if "tfevents" in name) / EPOCHS
    print(
        f"\n{EPOCHS} epochs, at most in epochs 10 to 50 % and after them: {memory:.0f} and "
        f"{most:.0f} MB, {files} and {most_files} open files; a line of the journal {journal:.0f} "
        f"bytes, events {events:.0f} bytes an epoch"
    )
    assert most < 1.05 * memory + 20
    assert most_files <= files + 8
    assert journal < 1000
    assert events < 3000

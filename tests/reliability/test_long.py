"""A run of 2,000 epochs: memory and open files do not grow, files grow by the epoch alone."""

import os
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
                seen.append(
                    (journal.read_bytes().count(b"\n"), resident, len(os.listdir(own / "fd")))
                )
            except (OSError, IndexError):
                break
    finally:
        done = finish(process)
    assert done.status == 0, done.err
    training = [row for row in seen if EPOCHS * 0.1 <= row[0] < EPOCHS]
    (early, memory, files), late = training[0], training[len(training) // 2 :]
    sizes = {p.name: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    journal = sizes["metrics.jsonl"] / EPOCHS
    events = sum(size for name, size in sizes.items() if "tfevents" in name) / EPOCHS
    most = max(row[1] for row in late)
    print(
        f"\n{EPOCHS} epochs: {memory / 1024:.0f} MB after {early}, at most {most / 1024:.0f} MB in "
        f"the second half; open files {files} and {max(row[2] for row in late)}; a line of the "
        f"journal {journal:.0f} bytes, events {events:.0f} bytes an epoch"
    )
    assert most < 1.05 * memory + 20_000
    assert max(row[2] for row in late) <= files + 2
    assert journal < 1000
    assert events < 3000

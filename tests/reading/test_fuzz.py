"""A bounded, seeded fuzz of every loader; see fuzz.py for what is asserted of each input.

FSRF_FUZZ_SECONDS sets how long it takes in all: 3600 for an hour.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from command_case import ROOT

SECONDS = float(os.environ.get("FSRF_FUZZ_SECONDS", "20"))


def test_damaged_files_give_a_value_or_one_message():
    # In a process of its own: a crash of a library would take the others with it.
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(SECONDS)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * SECONDS + 120,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.findall(r"([\w ]+): (\d+) inputs, (\d+) read", done.stdout)
    assert len(found) == 18
    for name, inputs, read in found:
        assert 0 < int(read) < int(inputs), name  # some files are still whole, and some are not

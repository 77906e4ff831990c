"""How long does a command take to start, beside what importing MONAI takes?

    OMP_NUM_THREADS=1 python benchmarks/start_time.py --rounds 5

Each is a fresh interpreter, all in turn; processor time (user and system) of the process and its children, medians.
A bundle is started as far as the check of its command line: with an option that does not exist.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

from provenance import provenance, write_record

from monai_cl.shipped import bundle_folder

TRAIN = bundle_folder("spleen_unetr_segmentation") / "configs" / "train.yaml"
STARTS = {
    "import torch": ["-c", "import torch"],
    "import monai": ["-c", "import monai"],
    "import monai.bundle, monai.transforms": ["-c", "import monai.bundle, monai.transforms"],
    "import monai_cl": ["-c", "import monai_cl"],
    "import monai_cl.losses (all)": ["-c", "from monai_cl.losses import *"],
    "python -m monai_cl --version": ["-m", "monai_cl", "--version"],
    "python -m monai.bundle run, to the check of its options": [
        *("-m", "monai.bundle", "run", "--config_file", TRAIN.as_posix(), "--no_such_option", "1"),
    ],
}


def processor_seconds(arguments: list[str]) -> float:
    """Of a fresh interpreter and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check="--no_such_option" not in arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> dict[str, float]:
    """Medians over rounds in which every start has its turn; a round before them fills the caches."""
    times: dict[str, list[float]] = {name: [] for name in STARTS}
    for number in range(-1, rounds):
        for name, arguments in STARTS.items():
            seconds = processor_seconds(arguments)
            if number >= 0:
                times[name].append(seconds)
    return {name: round(median(values), 2) for name, values in times.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    what = "start of commands and imports"
    record = {"what": what, "processor_seconds": measure(options.rounds), "rounds": options.rounds, **provenance()}
    write_record(record, options.output)


if __name__ == "__main__":
    main()

"""``python -m tests.soak``: see `tests.soak.soak`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.soak.soak import Soak

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=sys.modules["tests.soak.soak"].__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--output", type=Path, default=Path("runs/soak"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    result = Soak(given.output.resolve(), seed=given.seed).run(given.minutes)
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["lost"]))

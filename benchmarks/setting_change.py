"""What does a setting of a study cost each arm? Paired changes from one setting, and how those of two arms differ.

    python benchmarks/setting_change.py table.jsonl --start "0 %" --control "gamma = infinity"

Pairs are of the same seed and case; intervals are the studies' own (95 % bootstrap over seeds and
patients, or cases where the file does not say the patients); in brackets
wins and losses. The file is that of ``python -m monai_cl study table``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from monai_cl.study.table import Difference, Values, difference_of


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSON lines")
    parser.add_argument("--start", required=True, help="the setting that changes are counted from")
    parser.add_argument("--control", required=True, help="the arm whose change the others' are compared with")
    options = parser.parse_args()
    places, patients = read_places(options.file), patients_of(options.file)
    for text, found in changes(places, start=options.start, control=options.control, patients=patients).items():
        low, high = found.interval or (np.nan, np.nan)
        print(f"{text}: {found.mean:+.1f} [{low:+.1f}, {high:+.1f}] ({found.wins} : {found.losses})")


def read_places(file: Path) -> dict[tuple[str, str], Values]:
    """(Arm, setting) -> seed -> case -> mean Dice of its organs in points."""
    places: dict[tuple[str, str], dict] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        cases = {
            case["id"]: 100 * float(np.mean([d for d in case["dice"].values() if d is not None]))
            for case in row["per_case"]
        }
        places.setdefault((row["arm"], row["setting"]), {})[row["seed"]] = cases
    return places


def patients_of(file: Path) -> dict[str, str] | None:
    """Case -> patient; None where they are not all known."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = {case["id"]: case.get("patient") for row in rows for case in row["per_case"]}
    return None if None in found.values() else found


def changes(
    places: dict[tuple[str, str], Values], *, start: str, control: str, patients: dict[str, str] | None = None
) -> dict[str, Difference]:
    """Change of every arm from one setting to each other, and that change over the control's."""
    found = {}
    for arm, setting in places:
        if setting == start:
            continue
        found[f"{arm}, {setting} over {start}"] = difference_of(places[arm, setting], places[arm, start], patients)
        if arm != control:
            own, other = (_minus(places[name, setting], places[name, start]) for name in (arm, control))
            found[f"that change, {arm} over {control}, {setting}"] = difference_of(own, other, patients)
    return found


def _minus(one: Values, other: Values) -> Values:
    return {
        seed: {case: one[seed][case] - other[seed][case] for case in one[seed].keys() & other[seed].keys()}
        for seed in one.keys() & other.keys()
    }


if __name__ == "__main__":
    main()

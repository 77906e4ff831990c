"""The page of the documentation on bad input, made of the table: ``python -m tests.bad_input.document`` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import GROUPS, Case
from tests.bad_input.table import CASES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad_input.md"
HEAD = """# Bad input

What happens to invalid files, lists and options. An input is either **refused**, with one message that names the file
and what to do and with nothing written, or **repaired** as the table says; nothing else is repaired silently. Every row
is a test (`tests/bad_input`), and this page is made of the same table (`python -m tests.bad_input.document`). Rows in
*italics* are real files of public collections.

A message has the form `file: expected …, found …; what to do`. Commands print it after `error: ` and end with status 2;
bundles print it as their last line. What it says to do exists where it is printed and deletes nothing;
`tests/bad_input` follows a remedy of each kind and compares the values after it. `datalist validate` reports all
problems of a list at once, before a run.

What cannot be detected: a bit changed in the voxels of a file without checksums (uncompressed .nii, .nrrd, .mha,
DICOM). Once a volume is prepared, the store knows the checksums of its sources and of its own files:
`python -m monai_cl store verify` reads all of them and finds what has changed, `store repair` makes it again. Where a
source has other bytes but its former size and time, the prepared volume may be the last good copy: it stays until the
source is repaired or touched.

Random damage is tried on every reader, 60 times per format in the default tests
(`MONAI_CL_FUZZ=5000 pytest tests/bad_input/test_fuzz.py` for more): .nii.gz, files of weights and entries of the store
are then read exactly as they were written or refused.
"""


def page() -> str:
    """The page as it must be."""
    refused = sum(bool(case.names) for case in CASES)
    text = [HEAD, f"{len(CASES)} rows: {refused} are refused, {len(CASES) - refused} repaired.\n"]
    for group, title in GROUPS.items():
        text += [f"## {title}", "", "| input | where it occurs | what happens |", "| --- | --- | --- |"]
        text += [_row(case) for case in CASES if case.group == group]
        text.append("")
    return "\n".join(text)


def _row(case: Case) -> str:
    name = _cell(case.name)
    doors = ", ".join(f"`{door}`" for door in case.doors)
    if case.repair:
        fate = f"repaired: {_cell(case.repair)}"
    else:
        fate = "refused: " + " … ".join(_code(part) for part in case.names)
    return f"| {f'*{name}*' if case.real else name} | {doors} | {fate} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text.replace('|', '&#124;')}{fence}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")

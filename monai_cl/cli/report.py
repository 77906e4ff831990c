"""``python -m monai_cl report RUN_DIR… --output report.html``."""

from __future__ import annotations

import os
import secrets

from monai_cl.errors import UserError, echo
from monai_cl.files import size_in_words


def report_command(
    *runs: str | os.PathLike,
    output: str = "report.html",
    title: str | None = None,
    hash_patients: bool | str = False,
    plots: str | None = None,
) -> None:
    """Write one page about one or more runs: Dice side by side, paired differences, curves, overlays, what ran.

    Example:
        python -m monai_cl report runs/scratch runs/pretrained --output report.html

    Args:
        runs: folders of finished runs (or a folder above them), or their results.json.
        output: the page to write; a name ending in .md gives only the tables, as Markdown.
        title: heading of the page; made from the runs by default.
        hash_patients: show case ids as hashes, runs under numbers, and no paths or configurations; a word given here is
            used as key of the hash.
        plots: folder to write the plots to as well, as PNG files.
    """
    from monai_cl.report import find_runs, write_plots, write_report
    from monai_cl.report.privacy import without_names

    key = hash_key(hash_patients)
    output = str(output)  # the command line turns a bare number into an int
    if os.path.isdir(output):
        raise UserError(
            output, expected="the name of a file to write", found="a folder", remedy=f"try {output}/report.html"
        )
    path = write_report(
        output,
        *map(str, runs),
        title=None if title is None else str(title),
        hash_patients=key,
    )
    echo(f"wrote {path} ({size_in_words(path.stat().st_size)})")
    if plots is not None:
        run_list = find_runs(*map(str, runs))
        written = write_plots(str(plots), without_names(run_list) if hash_patients else run_list)
        echo(f"wrote {len(written)} plots to {plots}")


def hash_key(hash_patients: bool | str) -> bool | str:
    """The option of this name: False, or the key, which is drawn where none is given.

    Raises:
        UserError: a word that was meant as a switch.
    """
    if isinstance(hash_patients, bool):
        return secrets.token_hex(16) if hash_patients else False
    if str(hash_patients).lower() in ("true", "false", "yes", "no"):
        raise UserError(
            "--hash_patients",
            expected="nothing after it, or a key other than yes or no",
            found=f"{hash_patients!r}",
            remedy="leave the option out to show the case ids as they are",
        )
    return str(hash_patients)

"""``python -m monai_cl phantom [cine | head_ct | modalities] | cirrhosis``: synthetic cohorts to try everything."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_cl.errors import echo


def cohort_command(name: str) -> Callable[..., None]:
    """A function of `monai_cl.data` that writes a cohort as a command, with its options and its help.

    Args:
        name: of the function; its module is imported here, so that other commands start without it.
    """
    from monai_cl import data

    write = getattr(data, name)

    @functools.wraps(write)
    def command(*arguments: Any, **options: Any) -> None:
        _print_lists(write(*arguments, **options))

    return command


def _print_lists(lists: Mapping[str, Path]) -> None:
    width = max(map(len, lists))
    for name, path in lists.items():
        echo(f"{name:{width}} {path}")


class PhantomCommand:
    """Write a synthetic abdominal CT cohort of partly annotated data sets, with their data lists.

    Four pre-training data sets, each annotated for its own organs only (liver with tumours, kidneys with tumours,
    pancreas, stomach and aorta), a target set with seven organs and one with the spleen, as NIfTI, with the data
    lists pretraining.json, target.json, kidneys.json (the target set, these organs only) and spleen.json. `phantom
    cine` writes cardiac MR, `phantom head_ct` head CT, `phantom modalities` 2D images of four modalities.

    Example:
        python -m monai_cl phantom --output /data/synthetic --cases 6 --seed 0

    Args:
        output: folder to create; it must be new or empty, or see --overwrite.
        cases: cases per data set (six data sets).
        seed: the same seed writes the same files.
        spacing: mean voxel spacing in mm; 3 gives about 110 x 75 x 60 voxels, 1.5 eight times as many.
        workers: processes to use.
        overwrite: replace a cohort that is there.
    """

    def __call__(
        self,
        output: str,
        *,
        cases: int = 6,
        seed: int = 0,
        spacing: float = 3.0,
        workers: int = 1,
        overwrite: bool = False,
    ) -> None:
        from monai_cl.data.phantom.abdomen.cohort import write_cohort

        options = {"seed": seed, "spacing": spacing, "workers": workers, "overwrite": overwrite}
        _print_lists(write_cohort(output, cases=cases, **options))

    __call__.__doc__ = __doc__  # Fire shows the class's, the checks of a command line read the method's

    cine = property(lambda _: cohort_command("write_cine_cohort"))
    head_ct = property(lambda _: cohort_command("write_head_ct_cohort"))
    modalities = property(lambda _: cohort_command("write_modalities_cohort"))


phantom_command = PhantomCommand()

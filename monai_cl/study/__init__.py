"""Studies: a YAML file of arms, settings, folds and seeds, run cell by cell and put into one table."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "definition": ("StudyDefinition", "load_study"),
        "expansion": ("Cell", "Expansion", "Point", "expand"),
        "folder": ("StudyFolder",),
        "places": ("place_lines",),
        "running": ("Runner",),
        "slurm": ("slurm_script",),
        "summary": ("summarise",),
    },
)

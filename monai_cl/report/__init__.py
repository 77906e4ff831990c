"""Tables, overlays and the self-contained HTML report."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "comparison": ("Column", "Comparison", "compare_runs"),
        "curves": ("curve_names", "curve_svg"),
        "html": ("render_html", "render_markdown", "write_report"),
        "overlays": ("overlay_figure", "write_overlay"),
        "run_tables": ("config_table", "curves_table", "runs_table"),
        "runs": ("Run", "find_runs"),
        "slices": ("slice_grid",),
        "statistics": ("PairedDifference", "paired_difference"),
        "tables": ("Table", "case_table", "dice_table"),
    },
)

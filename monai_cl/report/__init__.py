"""Tables, overlays and the self-contained HTML report."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "cam_figure": ("class_activation_figure",),
        "classification": ("classification_tables", "patient_table"),
        "comparison": ("Column", "Comparison", "compare_runs"),
        "curves": ("curve_figure", "curve_names"),
        "html": ("render_html", "render_markdown", "write_report"),
        "method_tables": ("method_table", "sigma_tables"),
        "overlays": ("overlay_figure", "write_overlay"),
        "pairs": ("pairs_figure",),
        "plots": ("write_plots",),
        "pca": ("pca_figure", "principal_plane"),
        "roc": ("roc_figure",),
        "run_tables": ("config_table", "curves_table", "runs_table"),
        "runs": ("Run", "find_runs"),
        "statistics": ("PairedDifference", "paired_difference"),
        "tables": ("Table", "case_table", "dice_table"),
    },
)

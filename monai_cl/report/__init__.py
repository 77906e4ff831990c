"""Tables, overlays and the self-contained HTML report."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "figures.cam_figure": ("class_activation_figure",),
        "classification": ("classification_tables", "patient_table"),
        "comparison": ("Column", "Comparison", "compare_runs"),
        "figures.curves": ("curve_figure", "curve_names"),
        "figures.deviation_figure": ("deviation_figure",),
        "html": ("render_html", "render_markdown", "write_report"),
        "method_tables": ("method_table", "sigma_tables"),
        "overlays": ("overlay_figure",),
        "figures.embedding_map": ("embedding_map", "plane"),
        "figures.neighbours": ("neighbours_figure",),
        "figures.pairs": ("pairs_figure",),
        "plots": ("write_plots",),
        "page.list_statistics": ("statistics_html", "statistics_text"),
        "preview.faults": ("preview_faults",),
        "preview.page": ("render_preview", "write_preview"),
        "figures.pca": ("pca_figure", "principal_plane"),
        "figures.roc": ("roc_figure",),
        "run_tables": ("config_table", "curves_table", "runs_table"),
        "runs": ("Run", "find_runs"),
        "auc_comparison": ("AUCDifference", "auc_difference"),
        "convergence": ("SpeedUp", "epochs_to", "speed_up"),
        "robustness": ("relative_deviation", "robustness_scores"),
        "statistics": ("PairedDifference", "paired_difference"),
        "tables": ("Table", "case_table", "dice_table"),
    },
)

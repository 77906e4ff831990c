"""A run of a bundle in this process, where a process of its own shows nothing more."""

from __future__ import annotations

import torch
from monai.bundle import ConfigWorkflow

from monai_cl.shipped import bundle_folder


def run_workflow(bundle: str, *names: str, **options: object) -> ConfigWorkflow:
    """Run a bundle's config with its overlays, in one thread; the first says whether it trains."""
    made = ConfigWorkflow(
        config_file=[str(bundle_folder(bundle) / "configs" / f"{name}.yaml") for name in names],
        logging_file=False,
        workflow_type="train" if names[0] == "train" else "infer",
        **options,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        made.initialize()
        made.run()
        made.finalize()
    finally:
        torch.set_num_threads(threads)
    return made

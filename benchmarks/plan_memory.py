"""Is the memory that `plan` estimates from two small patches what a step at a larger one takes, on the CPU.

Compared are the bytes that autograd keeps, counted at the larger patch too, and the peak resident memory of this
process beyond what it had before the network was made. Patches are random: memory does not depend on what they show.

    python benchmarks/plan_memory.py --bundle spleen_unetr_segmentation --patch 96 96 96 --batch 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from paper_size_step import peak_gib, write_cases
from provenance import provenance, write_record


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="spleen_unetr_segmentation")
    parser.add_argument("--patch", type=int, nargs=3, default=(96, 96, 96))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--overrides", type=json.loads, default={}, help="keys of the bundle's config, as JSON")
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    from monai_cl.engines.planning.plan import measure_step
    from monai_cl.engines.planning.step import BundleStep

    with tempfile.TemporaryDirectory() as folder:
        data_list = write_cases(Path(folder), shape=(40, 36, 32))
        fold = {} if options.bundle == "mixcl_ct_pretraining" else {"fold": "none"}
        step = BundleStep(options.bundle, data_list=data_list, overrides=fold | options.overrides)
        step.value("lists")  # imports what all need
        before = peak_gib()
        cost = measure_step(step)
        measured = step.measure(options.patch, batch=options.batch)
    peak, estimate = peak_gib() - before, cost.memory(tuple(options.patch), options.batch) / 2**30
    record = {
        "what": f"a step of {options.bundle} on the CPU",
        "patch": list(options.patch),
        "batch": options.batch,
        "overrides": options.overrides,
        "saved_gib": round(measured.saved_bytes / 2**30, 3),
        "saved_gib_estimated": round(cost.saved_bytes(tuple(options.patch), options.batch) / 2**30, 3),
        "peak_gib": round(peak, 2),
        "peak_gib_estimated": round(estimate, 2),
        "error": round(estimate / peak - 1, 3),
        "seconds": round(measured.seconds, 2),
        "seconds_estimated": round(cost.seconds(tuple(options.patch), options.batch), 2),
        **provenance(),
    }
    write_record(record, options.output)


if __name__ == "__main__":
    main()

"""Which pre-training on slices finds cirrhosis best? Table 1 and 3 of the WSP paper, on the synthetic cirrhosis cohort.

Patients with a noisy radiological grade pre-train TinyNet by SimCLR, BYOL, SupCon, depth-aware and WSP for the same
number of steps on the same batches. Frozen features of patients with histology, whom no pre-training saw, then give
the AUC of advanced fibrosis (F3-F4) per patient:
  P100   100 patients, stratified 5-fold cross-validation: the paper's protocol
  P400   400 other patients, the same protocol: less noise
  100to400  a probe fitted on the 100, judged on the 400: what a handful of biopsies gives
and R^2 of depth on P400.

    python benchmarks/wsp_methods.py check --output runs/wsp_methods    # is the cohort fit for the comparison?
    python benchmarks/wsp_methods.py run --output runs/wsp_methods      # pre-training; continues where it was killed
    python benchmarks/wsp_methods.py run --output runs/wsp_methods --temperature 0.5
    python benchmarks/wsp_methods.py sweep --output runs/wsp_methods    # sigma and tau of WSP
    python benchmarks/wsp_methods.py table --output runs/wsp_methods    # probes, tables, intervals

A seed changes weights, batches and views. Everything is deterministic but for the order of floating-point sums.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from provenance import provenance
from wsp.fitness import check
from wsp.pretraining import run
from wsp.study import METHODS, SIGMAS, TEMPERATURES, Job, Study, own_temperature
from wsp.tables import tables


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("check", "run", "sweep", "table"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: 0 to 4; of a sweep 0 and 1")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument(
        "--temperature", type=float, nargs="+", default=[0.1], help="of a run; the methods that have one"
    )
    for name, value in asdict(Study()).items():
        if not isinstance(value, bool):
            parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    study = Study(**{k: getattr(options, k) for k, v in asdict(Study()).items() if not isinstance(v, bool)})
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "check":
        print(check(options.output, study))
    elif options.what == "run":
        seeds = options.seeds or list(range(5))
        runs = {
            Job(method, seed, **own_temperature(method, temperature)): None
            for temperature in options.temperature
            for seed in seeds
            for method in options.methods
        }
        run(options.output, study, list(runs))
    elif options.what == "sweep":
        seeds = options.seeds or [0, 1]
        swept = [{"sigma": v} for v in SIGMAS] + [{"temperature": v} for v in TEMPERATURES]
        run(options.output, study, [Job("wsp", seed, **values) for seed in seeds for values in swept])
    else:
        text = tables(options.output)
        (options.output / "table.md").write_text(text + "\n", encoding="utf-8")
        (options.output / "provenance.json").write_text(json.dumps(provenance(), indent=1) + "\n", encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()

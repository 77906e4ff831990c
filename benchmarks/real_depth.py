"""Does pre-training on real CT slices teach depth? Ridge regression from frozen features, on patients not seen.

Eleven patients of four origins (BTCV, LIDC-IDRI, TotalSegmentator's test case, TCIA Soft-tissue-Sarcoma) pre-train
TinyNet by WSP with a coarse region as label (0: abdomen and chest, 1: limbs and trunk) and depth, or by depth or
SimCLR alone. In each of three folds by patient the encoder and the ridge regression see the training patients only;
R^2 and the rank correlation within a patient are those of the patients left out, against random initialisation.

    python benchmarks/real_depth.py /data/real_ct --output runs/real_depth

Depth is the place in the volume's own extent: volumes that show different parts of the body do not share a scale, which
R^2 suffers from and the rank correlation within a patient does not.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from provenance import provenance
from real_lists import pretraining_list, target_list
from scipy.stats import spearmanr
from wsp.arrays import CirrhosisSlices
from wsp.pretraining import pretrain
from wsp.study import Job, Study, images

from monai_cl.data import load_data_list
from monai_cl.engines import list_slices
from monai_cl.engines.probe.depth import ALPHA_GRID, fit_depth
from monai_cl.engines.probe.folds import stratified_folds

METHODS = ("random", "simclr", "depth_aware", "wsp")
FOLDS = 3
REGIONS = {"lidc": 0, "totalseg": 0, "real_btcv": 0, "sarcoma": 1}


def region_list() -> dict:
    """All patients in one list, their target the region."""
    datasets = [*pretraining_list()["datasets"], {**target_list(), "root": "ct_organs"}]
    for dataset in datasets:
        for item in dataset["training"]:
            item.pop("fold", None)
            item["target"] = REGIONS[dataset["name"]]
    return {"name": "real_regions", "datasets": datasets}


def real_slices(data: Path, output: Path, *, size: int, pixel_size: float) -> tuple[CirrhosisSlices, list[str]]:
    """Slices of the central 70 % of every volume in memory, and the patients' names."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "regions.json"
    path.write_text(json.dumps(region_list(), indent=1) + "\n", encoding="utf-8")
    lists = load_data_list(path, data_root=data)
    slices = list_slices(lists, store=output / "store", organ=None, size=size, pixel_size=pixel_size)
    names = sorted(set(slices.patients))
    pictures = np.stack([(slices[i]["image"][0].numpy() * 255).round().astype(np.uint8) for i in range(len(slices))])
    patients, target = np.array([names.index(p) for p in slices.patients]), np.array(slices.targets)
    unknown = np.full(len(patients), -1)
    return CirrhosisSlices(pictures, slices.depths.astype(np.float32), patients, unknown, target, unknown), names


def part(slices: CirrhosisSlices, chosen: np.ndarray) -> CirrhosisSlices:
    """Some rows."""
    return CirrhosisSlices(**{name: getattr(slices, name)[chosen] for name in slices.__dataclass_fields__})


def run(data: Path, output: Path, study: Study, seeds: list[int], pixel_size: float) -> list[dict]:
    """Every method, seed and fold."""
    slices, names = real_slices(data, output, size=study.size, pixel_size=pixel_size)
    target = {name: int(slices.grades[slices.patients == i][0]) for i, name in enumerate(names)}
    fold = stratified_folds(target, count=FOLDS, seed=0).of(np.array([names[i] for i in slices.patients]))
    rows = []
    for seed in seeds:
        for number in range(FOLDS):
            seen, unseen = part(slices, fold != number), part(slices, fold == number)
            for method in METHODS:
                net, log = pretrain(study, seen, Job(method, seed))
                with torch.inference_mode():
                    train, test = (net.eval().represent(images(s, np.arange(len(s)))).numpy() for s in (seen, unseen))
                predicted = fit_depth(train, seen.depths, seen.patients, grid=ALPHA_GRID)(test)
                error = ((predicted - unseen.depths) ** 2).sum() / ((unseen.depths - unseen.depths.mean()) ** 2).sum()
                rank = [
                    spearmanr(predicted[unseen.patients == p], unseen.depths[unseen.patients == p]).statistic
                    for p in np.unique(unseen.patients)
                ]
                rows.append({"method": method, "seed": seed, "fold": number, "r2": float(1 - error), "rank": rank})
                rows[-1]["last"] = log["curve"][-1] if log["curve"] else None
                print(method, seed, number, f"R2 {1 - error:.3f}", "rank", np.round(rank, 2).tolist(), flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: mean over folds and seeds, standard deviation over seeds of the means over folds."""
    lines = ["| method | R² of depth, patients not seen | rank correlation within a patient |", "| --- | --- | --- |"]
    for method in METHODS:
        cells = [method]
        for key in ("r2", "rank"):
            means = [
                np.mean(
                    np.concatenate([np.atleast_1d(r[key]) for r in rows if (r["method"], r["seed"]) == (method, s)])
                )
                for s in sorted({r["seed"] for r in rows})
            ]
            cells.append(f"{np.mean(means):.3f} ± {np.std(means, ddof=1) if len(means) > 1 else 0:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of real CT")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32, help="slices; patients come several times")
    parser.add_argument("--pixel_size", type=float, default=2.5, help="mm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = replace(Study(), steps=options.steps, batch=options.batch)
    rows = run(options.data, options.output, study, options.seeds, options.pixel_size)
    text = table(rows)
    record = {"study": asdict(study), "provenance": provenance(), "rows": rows}
    (options.output / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.output / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

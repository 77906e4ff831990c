"""Does self-pacing weigh wrong pairs less? By finished runs of ``meta_label_pretraining`` on the synthetic cine.

    python benchmarks/pair_weights.py RUN [RUN ...] --output weights.json
    python benchmarks/pair_weights.py RUN [RUN ...] --every --output weights.json

With shuffled positions, two slices of one position label are a wrong pair where their own parts differ, since a label
changed places. Without, they are wrong where their true positions, 0 at the heart's base and 1 at its apex, are .15 or
more apart; the weight is also given by distance. Of batches and views as in the training: mean loss of right and of
wrong pairs, and mean weight. Of the network at the run's end, at several times of the pace; with ``--every``, of each
checkpoint that the run has kept (``--keep_checkpoints``), at its own time. Pairs of one slice's views are left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import repeat
from monai.bundle import ConfigParser
from provenance import provenance, write_record
from torch import Tensor

from monai_cl.data import CTSlices, collate_slices, read_results, slice_parts
from monai_cl.data.phantom.cine.anatomy import draw_patient
from monai_cl.data.phantom.cine.cohort import patient_index
from monai_cl.engines.checkpoints.checkpoint_file import checkpoint_iteration, checkpoints_in, read_checkpoint
from monai_cl.losses.self_paced import pace, positive_pairs, self_paced_weight

TIMES = (0.02, 0.1, 0.3, 1.0)  # e/E
FAR = 0.15  # of the heart's axis
DISTANCES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)  # each from here to the next


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", type=Path, help="output_dir of a run, whose data and store are where they were"
    )
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--gamma", type=float, nargs=2, help="pace at the start and the end; default: the run's")
    parser.add_argument("--every", action="store_true", help="each checkpoint at its own time")
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [weights_of(run, batches=options.batches, gamma=options.gamma, every=options.every) for run in options.runs]
    write_record({"runs": runs, **provenance()}, options.output)


def weights_of(run: Path, *, batches: int, gamma: list[float] | None, every: bool = False) -> dict[str, Any]:
    """Mean loss and weights of right and wrong pairs of a run."""
    config = read_results(run)["config"]
    position = config["meta_labels"]["position"]
    found = {
        "run": str(run),
        "seed": config["seed"],
        "method": config["method"],
        "shuffled": position["shuffled"],
        "gamma": list(gamma or position["gamma"]),
    }
    if not every:
        return found | _measured(run, checkpoints_in(run)[0], config, found["gamma"], TIMES, batches=batches)
    by_checkpoint = {}
    for checkpoint in reversed(checkpoints_in(run)):
        done = checkpoint_iteration(checkpoint) / config["iterations"]
        by_checkpoint[str(done)] = _measured(run, checkpoint, config, found["gamma"], [done], batches=batches)
    return found | {"checkpoints": by_checkpoint}


def _measured(
    run: Path, checkpoint: Path, config: dict[str, Any], gamma: Sequence[float], times: Sequence[float], *, batches: int
) -> dict[str, Any]:
    measured = list(pair_losses(checkpoint, config, batches=batches))
    losses, wrong, apart = (torch.cat(parts) for parts in zip(*measured, strict=True))
    right = ~wrong
    weights = {}
    for time in times:
        weight = self_paced_weight(losses, pace(time, tuple(gamma)), "linear")
        means = weight[right].mean().item(), weight[wrong].mean().item()
        weights[str(time)] = {"right": means[0], "wrong": means[1], "difference": means[0] - means[1]}
        if not apart.isnan().any():
            bins = torch.bucketize(apart, torch.tensor(DISTANCES), right=True) - 1
            weights[str(time)]["by_distance"] = {
                str(start): weight[bins == number].mean().item()
                for number, start in enumerate(DISTANCES)
                if (bins == number).any()
            }
    return {
        "pairs": {"right": int(right.sum()), "wrong": int(wrong.sum())},
        "mean_loss": {"right": losses[right].mean().item(), "wrong": losses[wrong].mean().item()},
        "weights": weights,
    }


@torch.no_grad()
def pair_losses(checkpoint: Path, config: dict[str, Any], *, batches: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of the pairs of each of some batches: losses, which of them are wrong, and how far apart they truly are."""
    parser = ConfigParser()
    parser.read_config({**config, "device": torch.device("cpu"), "num_workers": 0, "resume": "none"})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(read_checkpoint(checkpoint)["network"])
    data = parser.get_parsed_content("train#dataset")
    prepare = parser.get_parsed_content("train#trainer#prepare_batch")
    slices, position = parser.get_parsed_content("train#slices"), config["meta_labels"]["position"]
    own_parts = torch.from_numpy(slice_parts(slices, position["parts"]))
    if position["shuffled"]:
        places = torch.full((len(slices),), torch.nan, dtype=torch.float64)
    else:
        places = torch.from_numpy(true_positions(slices, config["data_list"]))
    size = data.sampler.batch_size
    for number in range(batches):
        batch = collate_slices([data[place] for place in range(number * size, (number + 1) * size)])
        views, targets = prepare(batch, torch.device("cpu"))
        embeddings = network(views)["embedding_position"]
        pairs = positive_pairs(embeddings, targets["label_position"], gamma=float("inf"))
        index, part, place = (
            repeat(x, "n -> (n v)", v=views.shape[1])
            for x in (batch["index"], own_parts[batch["index"]], places[batch["index"]])
        )
        others = pairs.positive & (index[:, None] != index)
        apart = (place[:, None] - place).abs()
        wrong = part[:, None] != part if position["shuffled"] else apart >= FAR
        yield pairs.losses[others], wrong[others], apart[others]


def true_positions(slices: CTSlices, data_list: str) -> np.ndarray:
    """(slices,) where each slice of a synthetic cine lies along its heart's axis, from the seed that its list names."""
    source = str(json.loads(Path(data_list).read_text(encoding="utf-8")).get("source", ""))
    seed = re.fullmatch(r"synthetic, monai_cl phantom cine seed (\d+)", source)
    if seed is None:
        raise SystemExit(f"{data_list}: no synthetic cine, and no shuffled positions: no pair is known to be wrong")
    found = []
    for volume in slices.volumes:
        split, number, phase = volume.id.split("_")
        patient = draw_patient(np.random.default_rng([int(seed[1]), patient_index(split, int(number)), 0]))
        affine = slices.store.entry(volume.key).affine
        found.append(patient.phases[phase].position(affine[2, 3] + affine[2, 2] * volume.slices))
    return np.concatenate(found)


if __name__ == "__main__":
    main()

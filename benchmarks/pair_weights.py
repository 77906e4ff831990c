"""Does self-pacing weigh wrong pairs less? By finished runs of ``meta_label_pretraining`` with shuffled positions.

    python benchmarks/pair_weights.py RUN [RUN ...] --output weights.json

Two slices with one position label are a wrong pair where their own parts differ, since a label changed places, and a
right one where they do not. Of batches and views as in the training, by the network at the run's end: mean loss of
right and of wrong pairs, and mean weight, at several times of the pace. Pairs of one slice's views are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from einops import repeat
from monai.bundle import ConfigParser
from provenance import provenance, write_record
from torch import Tensor

from monai_cl.data import collate_slices, read_results, slice_parts
from monai_cl.engines.checkpoints.checkpoint_file import checkpoints_in, read_checkpoint
from monai_cl.losses.self_paced import pace, positive_pairs, self_paced_weight

TIMES = (0.02, 0.1, 0.3, 1.0)  # e/E


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="+", type=Path, help="output_dir of a run, whose data and store are where they were"
    )
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--gamma", type=float, nargs=2, help="pace at the start and the end; default: the run's")
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [weights_of(run, batches=options.batches, gamma=options.gamma) for run in options.runs]
    write_record({"runs": runs, **provenance()}, options.output)


def weights_of(run: Path, *, batches: int, gamma: list[float] | None) -> dict[str, Any]:
    """Mean loss and weights of right and wrong pairs of a run."""
    config = read_results(run)["config"]
    position = config["meta_labels"]["position"]
    first, last = gamma or position["gamma"]
    if not position["shuffled"]:
        raise SystemExit(f"{run}: its positions were not shuffled, so no pair is known to be wrong")
    right, wrong = (torch.cat(losses) for losses in zip(*pair_losses(run, config, batches=batches), strict=True))
    weights = {}
    for time in TIMES:
        means = [self_paced_weight(x, pace(time, (first, last)), "linear").mean().item() for x in (right, wrong)]
        weights[str(time)] = {"right": means[0], "wrong": means[1], "difference": means[0] - means[1]}
    return {
        "run": str(run),
        "seed": config["seed"],
        "method": config["method"],
        "shuffled": position["shuffled"],
        "gamma": [first, last],
        "pairs": {"right": len(right), "wrong": len(wrong)},
        "mean_loss": {"right": right.mean().item(), "wrong": wrong.mean().item()},
        "weights": weights,
    }


@torch.no_grad()
def pair_losses(run: Path, config: dict[str, Any], *, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Losses of the right and of the wrong pairs of each of some batches."""
    parser = ConfigParser()
    parser.read_config({**config, "device": torch.device("cpu"), "num_workers": 0, "resume": "none"})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(read_checkpoint(checkpoints_in(run)[0])["network"])
    data = parser.get_parsed_content("train#dataset")
    prepare = parser.get_parsed_content("train#trainer#prepare_batch")
    position = config["meta_labels"]["position"]
    own_parts = torch.from_numpy(slice_parts(parser.get_parsed_content("train#slices"), position["parts"]))
    size = data.sampler.batch_size
    for number in range(batches):
        batch = collate_slices([data[place] for place in range(number * size, (number + 1) * size)])
        views, targets = prepare(batch, torch.device("cpu"))
        embeddings = network(views)["embedding_position"]
        pairs = positive_pairs(embeddings, targets["label_position"], gamma=float("inf"))
        part, slices = (repeat(x, "n -> (n v)", v=views.shape[1]) for x in (own_parts[batch["index"]], batch["index"]))
        others = pairs.positive & (slices[:, None] != slices)
        same = part[:, None] == part
        yield pairs.losses[others & same], pairs.losses[others & ~same]


if __name__ == "__main__":
    main()

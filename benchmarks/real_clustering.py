"""Do the codes of online clustering on real images follow what they show? MedNIST's three CT classes, without labels.

Half of the images pre-train a ResNet-18 by swapped prediction; of the other half each gets the code of its nearest
prototype. Reported are the normalised mutual information of codes and body part, and the accuracy of nearest neighbours
and of a linear classifier, against the same network with random weights and prototypes. The images have no patient ids:
neighbours may be of one patient, and body parts are easy. This checks that clustering works; it is no task.

    python benchmarks/real_clustering.py /data/real --output runs/real_clustering

The folder holds ``classification/mednist_ct3class_3000.npz`` with ``images`` (n, 64, 64) uint8 and ``labels`` (n,).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from provenance import provenance
from torch import Tensor

from monai_cl.engines import effective_rank, linear_accuracy, neighbour_accuracy, normalised_mutual_information
from monai_cl.losses import SwappedPredictionLoss
from monai_cl.networks import clustering_network, slice_encoder
from monai_cl.networks.prototypes import ClusteringNet
from monai_cl.transforms import MultiCrop

PROTOTYPES, BATCH, EMBEDDING, QUEUE = 48, 64, 64, 128


def read_images(folder: Path) -> tuple[Tensor, np.ndarray]:
    """Images (n, 1, 64, 64) in [0, 1], and the body part of each."""
    with np.load(folder / "classification" / "mednist_ct3class_3000.npz", allow_pickle=False) as held:
        return torch.from_numpy(held["images"]).float()[:, None] / 255, held["labels"].astype(int)


def make_network(seed: int, images: Tensor, steps: int) -> ClusteringNet:
    """Random weights, standardised to the images."""
    torch.manual_seed(seed)
    encoder = slice_encoder("resnet18", head=[], image_size=64)
    encoder.mean.fill_(float(images.mean()))
    encoder.std.fill_(float(images.std()))
    return clustering_network(encoder, [512, EMBEDDING], prototypes=PROTOTYPES, freeze_iterations=steps * 8 // 100)


def train(network: ClusteringNet, images: Tensor, *, seed: int, steps: int) -> list[float]:
    """Swapped prediction of two large crops and two small ones; returns the losses."""
    views = MultiCrop(seed=seed, count=[2, 2], size=[40, 24], scale=(0.6, 1.1))
    loss = SwappedPredictionLoss(queue_length=QUEUE, queue_start=steps // 5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    order = np.random.default_rng(seed)
    losses = []
    for step in range(steps):
        chosen = torch.from_numpy(order.choice(len(images), BATCH, replace=False))
        crops = views(images[chosen], torch.arange(step * BATCH, (step + 1) * BATCH))
        outputs = network.train()(crops)
        value = loss(outputs["scores"], outputs["embedding"], outputs["prototypes"])
        optimizer.zero_grad()
        value.backward()
        network.before_step()
        optimizer.step()
        schedule.step()
        network.after_step()
        loss.after_step()
        losses.append(float(value.detach()))
    return losses


@torch.no_grad()
def measure(network: ClusteringNet, seen: Tensor, labels: np.ndarray, others: Tensor, truth: np.ndarray) -> dict:
    """Codes and features of images that were not trained on."""
    network.eval()
    found = [network(part) for part in others.split(250)]
    embeddings = torch.cat([part["embedding"] for part in found])
    codes = (embeddings @ network.prototypes.weight.T).argmax(1).numpy()
    features = torch.cat([part["representation"] for part in found]).numpy()
    known = torch.cat([network.represent(part) for part in seen.split(250)]).numpy()
    shuffled = np.random.default_rng(0).permutation(truth)
    return {
        "nmi_body_part": normalised_mutual_information(codes, truth.tolist()),
        "nmi_shuffled": normalised_mutual_information(codes, shuffled.tolist()),
        "neighbours": neighbour_accuracy(known, labels, features, truth),
        "linear": linear_accuracy(known, labels, features, truth),
        "prototypes_in_use": len(set(codes.tolist())),
        "effective_rank": float(effective_rank(torch.from_numpy(features))),
    }


def run(images: Tensor, labels: np.ndarray, *, seed: int, steps: int) -> dict:
    """Both starts on one division of the images."""
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    parts = (images[first], labels[first], images[second], labels[second])
    network = make_network(seed, parts[0], steps)
    found = {"seed": seed, "steps": steps, "random": measure(network, *parts)}
    started = time.monotonic()
    losses = train(network, parts[0], seed=seed, steps=steps)
    found["seconds"] = round(time.monotonic() - started)
    found["loss"] = {"first": losses[0], "last": float(np.mean(losses[-10:])), "log_k": float(np.log(PROTOTYPES))}
    return found | {"clustering": measure(network, *parts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the images")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--images", type=int, default=3000, help="use so many, evenly spread")
    options = parser.parse_args()
    images, labels = read_images(options.data)
    chosen = np.unique(np.linspace(0, len(images) - 1, min(options.images, len(images))).round().astype(int))
    options.output.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in options.seeds:
        runs.append(run(images[chosen], labels[chosen], seed=seed, steps=options.steps))
        print(json.dumps(runs[-1]))
        content = {"provenance": provenance(), "runs": runs}
        (options.output / "real_clustering.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

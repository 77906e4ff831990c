"""Slow, obvious versions of the project's mathematics: loops over Python floats, one line of a formula at a time."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def correlation_by_loops(z1: np.ndarray, z2: np.ndarray, *, center: bool = False) -> np.ndarray:
    """C of MixCL's Eq. 5; z: (B, C, ...)."""
    channels = z1.shape[1]
    first = [z1[:, i].ravel() for i in range(channels)]
    second = [z2[:, j].ravel() for j in range(channels)]
    if center:
        first, second = [x - x.mean() for x in first], [x - x.mean() for x in second]
    c = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            product = sum(a * b for a, b in zip(first[i], second[j]))
            c[i, j] = product / math.sqrt(sum(a * a for a in first[i])) / math.sqrt(sum(b * b for b in second[j]))
    return c


def identity_by_loops(z1: np.ndarray, z2: np.ndarray, *, offdiag_weight: float, center: bool = False) -> float:
    """MixCL's Eq. 4."""
    c = correlation_by_loops(z1, z2, center=center)
    total = 0.0
    for i in range(len(c)):
        for j in range(len(c)):
            total += (1 - c[i, j]) ** 2 if i == j else offdiag_weight * c[i, j] ** 2
    return total


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def label_consistency_by_loops(z1, labels1, z2, labels2, *, temperature, background=0, per_anchor=False) -> float:
    """MixCL's Eq. 6; z: (n, C), labels: (n,)."""
    positives, all_pairs, ratios = 0.0, 0.0, []
    for a, la in zip(z1, labels1):
        anchor_positives, anchor_all = 0.0, 0.0
        for b, lb in zip(z2, labels2):
            if la == background and lb == background:
                continue
            similarity = math.exp(cosine(a, b) / temperature)
            anchor_all += similarity
            if la == lb:
                anchor_positives += similarity
        positives, all_pairs = positives + anchor_positives, all_pairs + anchor_all
        if anchor_positives:
            ratios.append(-math.log(anchor_positives / anchor_all))
    if not ratios:
        return 0.0
    return sum(ratios) / len(ratios) if per_anchor else -math.log(positives / all_pairs)


def organ_bank_by_loops(
    means, present, datasets, bank, bank_datasets, *, temperature, same_dataset=False, different=None
) -> list[float]:
    """MixCL's Eq. 6 of each patch's organs against a bank; means: (N, K, D), bank: (K, M, D)."""
    losses = []
    for patch, own, dataset in zip(means, present, datasets):
        ratios = []
        for k in range(len(bank)):
            positives, all_pairs = 0.0, 0.0
            for q in range(len(bank)):
                for entry, origin in zip(bank[q], bank_datasets[q]):
                    if not own[k] or origin < 0:
                        continue
                    similarity = math.exp(cosine(patch[k], entry) / temperature)
                    if q == k and (same_dataset or origin != dataset):
                        positives, all_pairs = positives + similarity, all_pairs + similarity
                    elif q != k and (different is None or different[k][q]):
                        all_pairs += similarity
            if positives:
                ratios.append(-math.log(positives / all_pairs))
        losses.append(sum(ratios) / len(ratios) if ratios else 0.0)
    return losses


def weighted_contrastive_by_loops(embeddings, weights, *, temperature: float, reduction: str = "mean") -> float:
    """The weighted contrastive loss; embeddings: (N, V, F), weights: (NV, NV)."""
    z = [view for slice_ in embeddings for view in slice_]
    rows = []
    for t in range(len(z)):
        others = [i for i in range(len(z)) if i != t]
        weight_sum = sum(weights[t][i] for i in others)
        if weight_sum == 0:
            continue
        denominator = sum(math.exp(cosine(z[t], z[j]) / temperature) for j in others)
        row = 0.0
        for i in others:
            row -= weights[t][i] / weight_sum * math.log(math.exp(cosine(z[t], z[i]) / temperature) / denominator)
        rows.append(row)
    if not rows:
        return 0.0
    return sum(rows) / len(rows) if reduction == "mean" else sum(rows)


def contrastive_weights_by_loops(method: str, *, views: int, slices=None, labels=None, positions=None, sigma=None):
    """The table of weights, (NV, NV), before normalisation."""
    size = views * slices
    weights = np.zeros((size, size))
    for t in range(size):
        for i in range(size):
            st, si = t // views, i // views
            near = math.exp(-((positions[st] - positions[si]) ** 2) / (2 * sigma**2)) if sigma else 1.0
            weights[t, i] = {
                "simclr": lambda st=st, si=si: float(st == si),
                "supcon": lambda st=st, si=si: float(labels[st] == labels[si]),
                "depth": lambda near=near: near,
                "wsp": lambda st=st, si=si, near=near: float(labels[st] == labels[si]) * near,
            }[method]()
    return weights


def boundary_weights_by_scipy(labels: np.ndarray, *, mu: float, epsilon: float) -> np.ndarray:
    """MixCL's Eq. 7 with one exact distance transform a region."""
    weights = np.full(labels.shape, epsilon)
    ids = np.unique(labels)
    for region in ids if len(ids) > 1 else ():
        inside = labels == region
        distance = ndimage.distance_transform_edt(inside)[inside]
        weights[inside] += 0.5 * np.sqrt(distance) * np.exp(-distance / mu)
    return weights


def sinkhorn_by_loops(scores, *, epsilon: float, iterations: int) -> np.ndarray:
    """Codes of SwAV: exponentials, then prototypes to B/K and samples to 1 in turn; scores: (B, K)."""
    q = [[math.exp(s / epsilon) for s in row] for row in scores]
    rows, prototypes = len(q), len(q[0])
    for _ in range(iterations):
        for k in range(prototypes):
            mass = sum(row[k] for row in q)
            for row in q:
                row[k] *= rows / prototypes / mass
        for row in q:
            mass = sum(row)
            for k in range(prototypes):
                row[k] /= mass
    return np.array(q)


def swapped_prediction_by_loops(scores, *, assign, temperature, epsilon, iterations, queue=None) -> list[float]:
    """The term of each crop in ``assign``; scores: per crop (B, K); queue: per crop in ``assign`` (Q, K)."""
    terms = []
    for number, i in enumerate(assign):
        rows = list(scores[i]) + ([] if queue is None else list(queue[number]))
        codes = sinkhorn_by_loops(rows, epsilon=epsilon, iterations=iterations)
        views = [v for v in range(len(scores)) if v != i]
        total = 0.0
        for v in views:
            for b, row in enumerate(scores[v]):
                denominator = sum(math.exp(s / temperature) for s in row)
                total -= sum(codes[b][k] * math.log(math.exp(s / temperature) / denominator) for k, s in enumerate(row))
        terms.append(total / len(views) / len(scores[i]))
    return terms


def self_paced_by_loops(embeddings, labels, *, gamma: float, mode: str, temperature: float) -> tuple[float, float]:
    """Loss and mean weight of Peng et al., Eq. 1-3; embeddings: (N, V, F); a negative label is a class of its own."""
    z = [view for slice_ in embeddings for view in slice_]
    views = len(embeddings[0])
    y = [labels[i // views] if labels[i // views] >= 0 else f"own {i // views}" for i in range(len(z))]
    anchors, weights = [], []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [j for j in others if y[j] == y[i]]
        if not positives:
            continue
        denominator = sum(math.exp(cosine(z[i], z[a]) / temperature) for a in others)
        total = 0.0
        for j in positives:
            loss = -math.log(math.exp(cosine(z[i], z[j]) / temperature) / denominator)
            weight = float(loss <= gamma) if mode == "hard" else max(0.0, 1 - loss / gamma)
            total += weight * loss
            weights.append(weight)
        anchors.append(total / len(positives))
    return sum(anchors) / len(anchors), sum(weights) / len(weights)

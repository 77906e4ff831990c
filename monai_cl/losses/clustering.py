"""Online clustering with swapped prediction: a view's code is predicted from the sample's other views.

After Ghesu et al., "Self-supervised learning from 100 million medical images", arXiv 2201.01283, Eq. 1-2, and Caron et
al. (SwAV), NeurIPS 2020, whose codes come from the Sinkhorn-Knopp algorithm.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from monai_cl.losses.queue import EmbeddingQueue, require_whole_batch
from monai_cl.losses.unit_vectors import at_least_float32, no_autocast
from monai_cl.processes import world_size

logger = logging.getLogger(__name__)
REDUCTIONS = ("mean", "sum")
_TOLERANCE = 1e-3  # of a cosine in half precision


@torch.no_grad()
def sinkhorn(scores: Tensor, *, epsilon: float = 0.03, iterations: int = 3) -> Tensor:
    """Codes that spread the samples evenly over the prototypes: argmax over Q of ``Tr(Q^T S) + ε H(Q)``.

    Codes do not depend on how the rows are divided among processes, and no gradient crosses them.

    Rows of the result sum to 1 exactly, its columns to B/K only nearly: each iteration ends with the samples. Computed
    as logarithms: exponentials of ``scores / ε`` underflow in float32 below ε = 0.023.

    Args:
        scores: cosines of samples and prototypes, (B, K); this process's rows, of which there may be none.
        epsilon: ε, > 0; a large one gives 1/K everywhere.
        iterations: ≥ 1; prototypes first, samples last.

    Returns:
        (B, K), float32 or float64, without gradient.

    Raises:
        ValueError: scores that are not (B, K), no row or no prototype at all, ``epsilon`` not above 0, ``iterations``
            below 1.
    """
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(f"scores must be (B, K) with K >= 1, got {tuple(scores.shape)}")
    if not epsilon > 0:
        raise ValueError(f"epsilon must be > 0, got {epsilon}")
    if iterations < 1:
        raise ValueError(f"iterations must be >= 1, got {iterations}")
    log_prototypes = math.log(scores.shape[1])
    with no_autocast(scores):
        rows = _total_rows(scores)
        if len(scores) == 0 and rows == 0:
            raise ValueError("scores must hold at least one row over all processes, got none")
        log_rows = math.log(rows) if isinstance(rows, int) else rows.double().log()
        a = at_least_float32(scores) / epsilon
        for _ in range(iterations):
            a = a - _logsumexp_of_all_rows(a) + log_rows - log_prototypes  # every prototype: B/K
            a = a - torch.logsumexp(a, dim=1, keepdim=True)  # every sample: 1
        return a.exp()


def swapped_prediction_loss(
    scores: Sequence[Tensor],
    *,
    assign: Sequence[int] = (0, 1),
    temperature: float = 0.1,
    epsilon: float = 0.03,
    iterations: int = 3,
    queue: Sequence[Tensor] | None = None,
    reduction: str = "mean",
    diagnostics: dict[str, Tensor] | None = None,
    check_range: bool = True,
) -> Tensor:
    """``mean_{i in A} 1/(V-1) Σ_{v≠i} mean_b -Σ_k q_bk^(i) log p_bk^(v)`` with ``p = softmax(s/τ)`` (Eq. 1-2).

    Eq. 1 prints the sum of its two terms: ``reduction="sum"``. The codes q carry no gradient. The loss is a mean over
    this process's samples: with as many rows on every rank the mean of the ranks' gradients is that of one process.

    Args:
        scores: for each of the V crops the cosines of its embeddings and the prototypes, (B, K); of unit vectors.
        assign: A, the crops that give codes.
        temperature: τ.
        epsilon: ε of :func:`sinkhorn`.
        iterations: of :func:`sinkhorn`.
        queue: for each crop of ``assign`` the scores of earlier embeddings against today's prototypes, (Q, K); this
            process's part. They take part in the codes only.
        reduction: ``mean`` over A or their ``sum``.
        diagnostics: filled, where given, with detached scalars of this process's codes, means over A:
            ``code_perplexity`` exp of the mean entropy of a code (near K with a loss at log K: collapse),
            ``prototypes_in_use``, the number that are some sample's largest, ``prototype_mass_min`` and
            ``prototype_mass_max``, the least and largest sum of a prototype over B/K.
        check_range: refuse scores outside [-1, 1], which waits for their device.

    Returns:
        A scalar, float32 or float64.

    Raises:
        ValueError: fewer than two crops, crops of different shapes, an ``assign`` that names no crop or one twice, a
            queue that does not fit, scores outside [-1, 1], an option out of range.
    """
    _check(scores, assign, queue, temperature=temperature, reduction=reduction)
    if check_range:
        _check_range((*scores, *(queue or ())))
    batch = len(scores[0])
    terms, codes = [], []
    with no_autocast(scores[0]):
        log_p = [torch.log_softmax(at_least_float32(s) / temperature, dim=1) for s in scores]
        for number, i in enumerate(assign):
            rows = scores[i].detach()
            if queue is not None:
                rows = torch.cat([rows, queue[number].detach().to(rows)])
            q = sinkhorn(rows, epsilon=epsilon, iterations=iterations)[:batch]
            codes.append(q)
            others = [v for v in range(len(scores)) if v != i]
            terms.append(torch.stack([-(q * log_p[v]).sum(dim=1).mean() for v in others]).mean())
        total = torch.stack(terms).sum()
    if diagnostics is not None:
        diagnostics |= _describe_codes(torch.stack(codes))
    return total if reduction == "sum" else total / len(terms)


def _describe_codes(q: Tensor) -> dict[str, Tensor]:
    """Of codes (A, B, K)."""
    mass = q.mean(dim=1) * q.shape[2]  # (A, K), over B/K
    in_use = torch.zeros_like(mass).scatter_(1, q.argmax(dim=2), 1.0).sum(dim=1)
    return {
        "code_perplexity": torch.special.entr(q).sum(dim=2).mean(dim=1).exp().mean(),
        "prototypes_in_use": in_use.mean(),
        "prototype_mass_min": mass.amin(dim=1).mean(),
        "prototype_mass_max": mass.amax(dim=1).mean(),
    }


class SwappedPredictionLoss(nn.Module):
    """:func:`swapped_prediction_loss` as a module, with a queue of earlier embeddings where one is asked for.

    Called with ``scores`` (N, V, K), ``embedding`` (N, V, F) of unit length and ``prototypes`` (K, F), as
    `monai_cl.networks.ClusteringNet` gives them. In a step the codes come from the queue as it was before it;
    ``after_step()`` pushes the step's embeddings.

    Args:
        assign: A, the views that give codes.
        temperature: τ.
        epsilon: ε of the codes.
        iterations: of :func:`sinkhorn`.
        reduction: ``mean`` over A or their ``sum``.
        queue_length: rows of the queue, rounded down to whole batches; 0: none.
        queue_start: the first step, from 0, whose embeddings enter the queue.
        few_embeddings: ``error`` or ``warn`` where there are more prototypes than embeddings of a batch and the queue,
            so that codes cannot use them all.

    Attributes:
        diagnostics: of the last call, see :func:`swapped_prediction_loss`; ``queue_fill`` beside a queue, 0 to 1.

    Raises:
        ValueError: a negative length or start; from a call, as :func:`swapped_prediction_loss`.
    """

    outputs, targets, gathers = ("scores", "embedding", "prototypes"), (), False

    def __init__(
        self,
        *,
        assign: Sequence[int] = (0, 1),
        temperature: float = 0.1,
        epsilon: float = 0.03,
        iterations: int = 3,
        reduction: str = "mean",
        queue_length: int = 0,
        queue_start: int = 0,
        few_embeddings: str = "error",
    ) -> None:
        super().__init__()
        if queue_length < 0:
            raise ValueError(f"queue_length must be >= 0, got {queue_length}")
        if few_embeddings not in ("error", "warn"):
            raise ValueError(f"few_embeddings must be error or warn, got {few_embeddings!r}")
        self.few_embeddings = few_embeddings
        self.assign = tuple(assign)
        self.options: dict[str, Any] = {
            "temperature": temperature,
            "epsilon": epsilon,
            "iterations": iterations,
            "reduction": reduction,
        }
        self.queue = EmbeddingQueue(queue_length, start=queue_start) if queue_length else None
        self.diagnostics: dict[str, Tensor] = {}
        self._newest: Tensor | None = None
        self._checked = False

    def forward(self, scores: Tensor, embeddings: Tensor, prototypes: Tensor) -> Tensor:
        """The loss of a batch, a scalar."""
        self.diagnostics = {}
        first = not self._checked
        if first:
            self.check_count(len(scores) * world_size(), len(prototypes))
            self._checked = True
        queued = None if self.queue is None else self.queue.scores(prototypes.detach())
        total = swapped_prediction_loss(
            scores.unbind(dim=1),
            assign=self.assign,
            queue=queued,
            diagnostics=self.diagnostics,
            check_range=first,  # the network normalises them, always or never
            **self.options,
        )
        if self.queue is not None:
            self._newest = embeddings.detach()[:, list(self.assign)].transpose(0, 1)
            rows = self.queue.rows.shape[1] if self.queue.rows.ndim == 3 else 1
            self.diagnostics["queue_fill"] = self.queue.filled / rows
        return total

    def after_step(self) -> None:
        """Push the embeddings of a step that the optimiser took: those of a step left out may not be finite."""
        if self.queue is not None and self._newest is not None:
            self.queue.push(self._newest)
            self._newest = None

    def check_count(self, batch: int, prototypes: int) -> None:
        """Refuse more prototypes than embeddings, or warn of them: codes cannot use them all; and too short a queue.

        Args:
            batch: samples of all processes in a step.
            prototypes: K.

        Raises:
            ValueError: names the three numbers, with ``few_embeddings="error"``; a queue shorter than the batch.
        """
        if self.queue is not None:
            require_whole_batch(self.queue.length, batch)
        queued = 0 if self.queue is None else self.queue.length // batch * batch
        if prototypes > batch + queued:
            text = (
                f"{prototypes} prototypes for {batch + queued} embeddings, {batch} of the batch of all processes and "
                f"{queued} of the queue: take fewer prototypes, a larger batch or a longer queue"
            )
            if self.few_embeddings == "error":
                raise ValueError(text)
            logger.warning("%s", text)


def _total_rows(scores: Tensor) -> int | Tensor:
    if world_size() == 1:
        return len(scores)
    rows = torch.tensor(len(scores), device=scores.device)
    dist.all_reduce(rows)
    return rows


def _logsumexp_of_all_rows(a: Tensor) -> Tensor:
    """Over the rows of all processes, per prototype, (K,): two exchanges of K numbers."""
    own_rows = torch.logsumexp(a, dim=0) if len(a) else a.new_full((a.shape[1],), -math.inf)
    if world_size() == 1:
        return own_rows
    largest = own_rows.clone()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    share = (own_rows - largest).exp()
    dist.all_reduce(share)
    return largest + share.log()


def _check(
    scores: Sequence[Tensor],
    assign: Sequence[int],
    queue: Sequence[Tensor] | None,
    *,
    temperature: float,
    reduction: str,
) -> None:
    shapes = [tuple(s.shape) for s in scores]
    if len(scores) < 2 or len(shapes[0]) != 2 or 0 in shapes[0] or len(set(shapes)) > 1:
        raise ValueError(f"scores must be two crops or more of one shape (B, K), got {shapes}")
    if not assign or len(set(assign)) < len(assign) or not set(assign) <= set(range(len(scores))):
        raise ValueError(f"assign must name crops of 0 ... {len(scores) - 1}, each once, got {list(assign)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    if queue is not None:
        queued = [tuple(s.shape) for s in queue]
        if len(queue) != len(assign) or any(len(s) != 2 or s[1] != shapes[0][1] for s in queued):
            raise ValueError(f"queue must be (Q, {shapes[0][1]}) for each of {len(assign)} crops, got {queued}")


def _check_range(scores: Sequence[Tensor]) -> None:
    largest = max(float(s.detach().abs().max()) for s in scores if s.numel())
    if largest > 1 + _TOLERANCE:  # nan passes: it must show in the loss
        raise ValueError(f"scores must lie in [-1, 1], cosines of unit vectors, got {largest:.4g}")

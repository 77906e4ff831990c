"""A training of a network with four weights, in milliseconds, with the parts a bundle's training has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from monai_cl.data import PositionSampler
from monai_cl.engines import AddressedRandomness, Checkpoints, cosine_schedule


class TinyRun:
    """Linear regression on samples that are their own position; ``scores`` are the validation's, an epoch each.

    ``seen`` lists the positions the training has used.
    """

    def __init__(
        self,
        output_dir: Path,
        *,
        scores: list[float] | None = None,
        features: int = 4,
        seed: int = 0,
        iterations: int = 20,
        fused: bool | None = None,
        **options: Any,
    ) -> None:
        torch.manual_seed(seed)
        self.network = torch.nn.Linear(features, 1)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1, fused=fused)
        self.schedule = cosine_schedule(self.optimizer, iterations=iterations)
        self.sampler = PositionSampler(batch_size=2)
        self.seen: list[int] = []
        self.engine = Engine(self._step)
        AddressedRandomness(seed=0).attach(self.engine)
        self.evaluator = self._evaluator(scores) if scores is not None else None
        self.checkpoints = Checkpoints(
            save={"network": self.network, "optimizer": self.optimizer, "lr_scheduler": self.schedule},
            output_dir=output_dir,
            sampler=self.sampler,
            evaluator=self.evaluator,
            **options,
        )
        self.checkpoints.attach(self.engine)

    def _evaluator(self, scores: list[float]) -> Engine:
        evaluator = Engine(lambda engine, batch: None)
        # what MONAI's evaluators keep in their state
        evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1, -1

        @self.engine.on(Events.EPOCH_COMPLETED)
        def validate(engine: Engine) -> None:
            score = scores[engine.state.epoch - 1]
            if score > evaluator.state.best_metric:
                evaluator.state.best_metric, evaluator.state.best_metric_epoch = score, engine.state.epoch

        return evaluator

    def _step(self, engine: Engine, positions: torch.Tensor) -> float:
        self.seen += positions.tolist()
        x = torch.linspace(0, 1, self.network.in_features) + positions[:, None].float() / 10
        x = torch.nn.functional.dropout(x, 0.2)
        loss = (self.network(x) - 1).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def go(self, epochs: int, epoch_length: int = 2) -> TinyRun:
        """Train."""
        loader = torch.utils.data.DataLoader(_Positions(), sampler=self.sampler, batch_size=2)
        self.engine.run(loader, max_epochs=epochs, epoch_length=epoch_length)
        return self

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the network's."""
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}


class _Positions(torch.utils.data.Dataset):
    def __getitem__(self, position: int) -> int:
        return position


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

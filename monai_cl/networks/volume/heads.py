"""What is predicted of a volume: its class, several findings at once, and which of its slices show one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SliceHead(nn.Module):
    """A logit for each slice, from a map at full depth and a coarse one.

    Each map is reduced to maximum and mean within the slices; the coarse one is interpolated to full depth (linear);
    two convolutions of 3 and 1 slices follow.

    Args:
        fine: channels of the map at full depth; 58 of `DenseEncoder3d`'s block 3.
        coarse: channels of the coarse map; 100 of its block 5.
        hidden: channels between the convolutions.
    """

    def __init__(self, fine: int = 58, coarse: int = 100, *, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2 * (fine + coarse), hidden, 3, padding=1),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv1d(hidden, 1, 1),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Logits.

        Args:
            fine: (B, C, D, h, w).
            coarse: (B, C', D', h', w').

        Returns:
            (B, D).
        """
        depth = fine.shape[2]
        coarse_profile = nn.functional.interpolate(_profile(coarse), depth, mode="linear", align_corners=False)
        return self.layers(torch.cat([_profile(fine), coarse_profile], dim=1)).squeeze(1)


class ScanHeads(nn.Module):
    """The heads on a `DenseEncoder3d`, each a logit per class, finding or slice.

    Args:
        representation_size: F of the encoder.
        channels: of the outputs of its blocks 3 and 5.
        classes: 2: one logit of class 1; more: a logit each; 0: no such head.
        findings: number of findings; 0: no such head.
        slices: whether to predict the slices that show a finding.

    Raises:
        ValueError: ``classes`` of 1 or below 0, ``findings`` below 0, or no head at all.
    """

    def __init__(
        self,
        representation_size: int,
        channels: tuple[int, int],
        *,
        classes: int = 2,
        findings: int = 0,
        slices: bool = False,
    ) -> None:
        super().__init__()
        if classes < 0 or classes == 1 or findings < 0 or not (classes or findings or slices):
            raise ValueError(
                f"expected classes of 2 or more, findings or slices, got classes={classes}, findings={findings}, "
                f"slices={slices}"
            )
        if classes:
            self.target = nn.Linear(representation_size, 1 if classes == 2 else classes)
        if findings:
            self.findings = nn.Linear(representation_size, findings)
        if slices:
            self.slice_findings = SliceHead(*channels)

    @torch.jit.unused  # a deployed network uses `target` alone
    def forward(self, representation: Tensor, fine: Tensor, coarse: Tensor) -> dict[str, Tensor]:
        """Logits of the heads that there are.

        Args:
            representation: (B, F).
            fine: block 3's output (B, C, D, h, w).
            coarse: block 5's output (B, C', D', h', w').

        Returns:
            ``target`` (B, 1) or (B, classes), ``findings`` (B, n), ``slice_findings`` (B, D).
        """
        heads = dict(self.named_children())
        logits: dict[str, Tensor] = {}
        for name in ("target", "findings"):
            if name in heads:
                logits[name] = heads[name](representation)
        if "slice_findings" in heads:
            logits["slice_findings"] = heads["slice_findings"](fine, coarse)
        return logits


def _profile(volume: Tensor) -> Tensor:
    """Maximum and mean within each slice: (B, C, D, h, w) to (B, 2C, D)."""
    return torch.cat([volume.amax((3, 4)), volume.mean((3, 4))], dim=1)

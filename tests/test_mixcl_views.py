"""Which rows of a stacked batch belong to which view."""

from __future__ import annotations

import torch

from monai_cl.mixcl_views import COUNT, NAMES, PairViews, unstack, without_v2


def views(pairs: int) -> PairViews:
    return PairViews(*(torch.rand(pairs, 1, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)))


def test_a_stacked_batch_comes_apart_into_its_views():
    given = views(4)
    found = unstack(torch.cat(given), 4)
    assert all(torch.equal(getattr(found, name), getattr(given, name)) for name in PairViews._fields)
    assert len(NAMES.split(", ")) == COUNT == len(given)


def test_rows_without_v2_come_apart_as_well():
    given = views(4)
    both = without_v2(torch.cat(given))
    assert torch.equal(both, torch.cat([given.v1, given.v1_prime]))
    found = unstack(both, 4)
    assert torch.equal(found.v1_prime, given.v1_prime)
    assert found.v2 is None


def test_two_views_show_the_first_patch_and_one_the_second():
    shown = PairViews.of_patches("P1", "P2")
    assert (shown.v1, shown.v1_prime, shown.v2) == ("P1", "P1", "P2")

"""What the random views of volumes and of slices have in common: randomness by address."""

from __future__ import annotations

import pytest
import torch

from monai_cl.transforms import random_slice_views, random_views

KINDS = [(random_views, (3, 1, 12, 10, 8)), (random_slice_views, (3, 1, 24, 20))]


@pytest.fixture(params=KINDS, ids=["volumes", "slices"])
def kind(request):
    """(function, three images)."""
    make, shape = request.param
    return make, torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_a_view_does_not_depend_on_its_batch(kind):
    make, images = kind
    options, positions = {"seed": 5, "view": 1, "probability": 0.8}, [10, 11, 12]
    batch = make(images, positions=positions, **options)
    backwards = make(images.flip(0), positions=torch.tensor(positions[::-1]), **options)
    assert torch.equal(backwards.flip(0), batch)
    for n, position in enumerate(positions):
        assert torch.equal(make(images[n : n + 1], positions=[position], **options)[0], batch[n])


def test_seed_position_and_view_each_give_another_view(kind):
    make, images = kind

    def view(seed=0, position=4, view=0):
        return make(images[:1], seed=seed, positions=[position], view=view, probability=1)

    assert torch.equal(view(), view())
    for other in (view(seed=1), view(position=5), view(view=1)):
        assert not torch.equal(view(), other)


def test_a_view_leaves_torchs_own_randomness_alone(kind):
    make, images = kind
    state = torch.get_rng_state()
    make(images, seed=0, positions=[1, 2, 3], view=0, probability=1)
    assert torch.equal(torch.get_rng_state(), state)

"""MixCL's Eq. 7 against one exact distance transform a region, and the draw against its probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl.transforms import boundary_weight_map, sample_voxels
from tests.oracles import boundary_weights_by_scipy


def blobs(shape=(24, 20, 22), seed: int = 0) -> np.ndarray:
    """Boxes of ids 1-5 over background, some touching each other and the border."""
    rng, labels = np.random.default_rng(seed), np.zeros(shape, dtype=np.uint8)
    for region in range(1, 6):
        low = rng.integers(0, np.array(shape) - 6)
        high = low + rng.integers(3, 12, 3)
        labels[tuple(slice(a, b) for a, b in zip(low, high))] = region
    return labels


def half_and_half(length: int = 40) -> np.ndarray:
    labels = np.zeros((3, 4, length), dtype=np.uint8)
    labels[..., length // 2 :] = 1
    return labels


class TestBoundaryWeightMap:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("mu", "epsilon"), [(8.0, 0.05), (2.0, 0.0)])
    def test_agrees_with_scipy(self, seed, mu, epsilon):
        labels = blobs(seed=seed)
        weights = boundary_weight_map(labels, mu=mu, epsilon=epsilon)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, boundary_weights_by_scipy(labels, mu=mu, epsilon=epsilon), atol=1e-6)

    def test_distance_counts_from_one_at_the_boundary_on_both_sides(self):
        weights = boundary_weight_map(half_and_half())[0, 0]
        distance = np.array([*range(20, 0, -1), *range(1, 21)], dtype=float)
        np.testing.assert_allclose(weights, 0.5 * np.sqrt(distance) * np.exp(-distance / 8) + 0.05, atol=1e-6)

    def test_peaks_at_half_mu(self):
        weights = boundary_weight_map(half_and_half())[0, 0]
        assert weights.max() == pytest.approx(0.6565, abs=5e-5)
        assert weights[20:].argmax() == 3  # D = 4

    @pytest.mark.parametrize("value", [0, 1, 255])
    def test_a_single_region_has_epsilon_everywhere(self, value):
        weights = boundary_weight_map(np.full((5, 6, 7), value, dtype=np.uint8), epsilon=0.07)
        np.testing.assert_array_equal(weights, np.full((5, 6, 7), 0.07, dtype=np.float32))

    def test_background_is_a_region_too(self):
        labels = half_and_half()
        np.testing.assert_array_equal(boundary_weight_map(labels), boundary_weight_map(1 - labels))

    def test_far_from_every_boundary_only_epsilon_is_left(self):
        assert boundary_weight_map(half_and_half(400))[0, 0, 0] == pytest.approx(0.05, abs=1e-6)

    @pytest.mark.parametrize(
        "ids",
        [
            np.array([0, 255, 3], dtype=np.uint8),
            np.array([-128, 127, 0], dtype=np.int8),
            np.array([-1, 5, 0], dtype=np.int16),
            np.array([0, 65535, 1], dtype=np.uint16),
            np.array([-(2**62), 2**62, 0], dtype=np.int64),
            np.array([0, 2**63 + 5, 7], dtype=np.uint64),
            np.array([0, 300, 2], dtype=">i2"),
        ],
    )
    def test_names_of_the_regions_do_not_matter(self, ids):
        labels = blobs() % 3
        np.testing.assert_array_equal(boundary_weight_map(ids[labels]), boundary_weight_map(labels))

    def test_booleans_are_two_regions(self):
        labels = half_and_half()
        np.testing.assert_array_equal(boundary_weight_map(labels.astype(bool)), boundary_weight_map(labels))

    def test_memory_layout_does_not_matter(self):
        labels = blobs()
        expected = boundary_weight_map(labels)
        np.testing.assert_array_equal(boundary_weight_map(np.asfortranarray(labels)), expected)
        np.testing.assert_array_equal(boundary_weight_map(labels.transpose(2, 0, 1)).transpose(1, 2, 0), expected)
        np.testing.assert_array_equal(boundary_weight_map(labels[::-1])[::-1], expected)
        read_only = labels.copy()
        read_only.setflags(write=False)
        np.testing.assert_array_equal(boundary_weight_map(read_only), expected)

    def test_a_tensor_gives_a_tensor(self):
        labels = blobs()
        for tensor in (torch.from_numpy(labels), torch.from_numpy(labels).long(), MetaTensor(labels)):
            weights = boundary_weight_map(tensor)
            assert isinstance(weights, torch.Tensor)
            assert weights.dtype == torch.float32
            np.testing.assert_array_equal(weights.numpy(), boundary_weight_map(labels))
        assert isinstance(boundary_weight_map(labels), np.ndarray)

    def test_a_slice_works_as_well(self):
        labels = blobs()[:, :, 10]
        np.testing.assert_allclose(
            boundary_weight_map(labels), boundary_weights_by_scipy(labels, mu=8.0, epsilon=0.05), atol=1e-6
        )

    def test_wrong_arguments_are_named(self):
        labels = blobs()
        with pytest.raises(ValueError, match=r"mu must be > 0, got 0"):
            boundary_weight_map(labels, mu=0)
        with pytest.raises(ValueError, match=r"epsilon must be >= 0, got -0\.1"):
            boundary_weight_map(labels, epsilon=-0.1)
        with pytest.raises(ValueError, match=r"at least one voxel, got shape \(1, 24, 20, 22\)"):
            boundary_weight_map(labels[None])
        with pytest.raises(ValueError, match=r"got shape \(0, 20, 22\)"):
            boundary_weight_map(labels[:0])
        with pytest.raises(ValueError, match="labels must be integers, got float32"):
            boundary_weight_map(labels.astype(np.float32))
        with pytest.raises(ValueError, match=r"labels must be integers, got torch\.float32"):
            boundary_weight_map(torch.from_numpy(labels).float())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestSampleVoxels:
    def test_every_class_present_is_drawn_once_a_voxel_and_up_to_the_cap(self):
        labels = blobs()
        indices = sample_voxels(labels, boundary_weight_map(labels), per_class=200, generator=generator())
        assert indices.dtype == np.int64
        assert len(np.unique(indices)) == len(indices)
        drawn = labels.ravel()[indices]
        for region, size in zip(*np.unique(labels, return_counts=True)):
            assert (drawn == region).sum() == min(200, size)
        np.testing.assert_array_equal(drawn, np.sort(drawn))

    def test_a_class_smaller_than_the_cap_is_taken_whole(self):
        labels = np.zeros((4, 4, 4), dtype=np.int16)
        labels[1, 2, :3] = 7
        indices = sample_voxels(labels, np.ones(labels.shape), per_class=64, generator=generator())
        assert len(indices) == 64
        assert sample_voxels(labels, np.ones(labels.shape), per_class=5, generator=generator()).shape == (8,)

    @staticmethod
    def frequencies(weights: list[float], per_class: int, draws: int = 6000) -> np.ndarray:
        """How often each voxel is drawn: every class is an independent repetition."""
        labels = torch.arange(draws)[:, None].expand(-1, len(weights))
        field = torch.tensor(weights).expand(draws, -1)
        drawn = sample_voxels(labels, field, per_class=per_class, generator=generator()) % len(weights)
        return np.bincount(drawn.numpy(), minlength=len(weights)) / draws

    @staticmethod
    def close(found: np.ndarray, expected: np.ndarray, draws: int = 6000) -> bool:
        return bool((np.abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / draws) + 1e-12).all())

    def test_probability_is_proportional_to_the_weight(self):
        weights = np.array([0.05, 0.2, 0.65, 0.4, 0.1, 0.3])
        assert self.close(self.frequencies(list(weights), 1), weights / weights.sum())

    def test_the_second_draw_is_proportional_to_what_is_left(self):
        p = np.array([0.5, 0.3, 0.15, 0.05])
        expected = np.array([p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i) for i in range(4)])
        assert self.close(self.frequencies(list(p), 2), expected)

    def test_weight_zero_is_never_drawn(self):
        found = self.frequencies([0.0, 1.0, 2.0], 3, draws=50)
        np.testing.assert_array_equal(found, [0, 1, 1])
        nothing = sample_voxels(np.zeros((2, 3), dtype=int), np.zeros((2, 3)), generator=generator())
        assert nothing.shape == (0,)

    def test_the_same_generator_state_draws_the_same_voxels_from_arrays_and_tensors(self):
        labels = blobs()
        weights = boundary_weight_map(labels)
        first = sample_voxels(labels, weights, generator=generator(3))
        tensor = sample_voxels(torch.from_numpy(labels), torch.from_numpy(weights), generator=generator(3))
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == torch.int64
        np.testing.assert_array_equal(first, tensor.numpy())
        assert not np.array_equal(first, sample_voxels(labels, weights, generator=generator(4)))

    def test_without_a_generator_the_global_one_is_used(self):
        labels = blobs()
        weights = boundary_weight_map(labels)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            first = sample_voxels(labels, weights)
            torch.manual_seed(5)
            np.testing.assert_array_equal(first, sample_voxels(labels, weights))

    def test_any_layout_and_integer_type_is_taken(self):
        labels = blobs()
        weights = boundary_weight_map(labels)
        expected = sample_voxels(labels[::2, ::2, ::2], weights[::2, ::2, ::2], generator=generator())
        for kind in (np.int8, np.uint16, np.int32, np.int64, ">i2"):
            strided = labels.astype(kind)[::2, ::2, ::2]
            found = sample_voxels(strided, weights[::2, ::2, ::2], generator=generator())
            np.testing.assert_array_equal(found, expected)

    def test_no_voxels_no_indices(self):
        assert sample_voxels(np.zeros((0, 3), dtype=int), np.zeros((0, 3))).shape == (0,)

    def test_wrong_arguments_are_named(self):
        labels = blobs()
        weights = boundary_weight_map(labels)
        with pytest.raises(ValueError, match="per_class must be >= 1, got 0"):
            sample_voxels(labels, weights, per_class=0)
        with pytest.raises(ValueError, match=r"same shape, got \(24, 20, 22\) and \(12, 20, 22\)"):
            sample_voxels(labels, weights[:12])
        with pytest.raises(ValueError, match="labels must be integers, got float64"):
            sample_voxels(labels.astype(float), weights)
        for bad in (-1.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="weights must be >= 0 and finite"):
                sample_voxels(labels, np.full(labels.shape, bad))

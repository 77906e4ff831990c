"""Effective rank and gradient norms by closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cl.engines import effective_rank, gradient_norms


def test_equal_directions_of_equal_spread_have_full_rank():
    # ± unit vectors: centred already, all singular values equal
    for width in (1, 2, 7):
        rows = torch.cat([torch.eye(width), -torch.eye(width)])
        assert effective_rank(rows) == pytest.approx(width, rel=1e-4)


def test_points_on_a_line_have_rank_one():
    line = torch.linspace(-1, 5, 50)[:, None] * torch.tensor([[1.0, -2.0, 3.0]])
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)


def test_two_directions_of_unequal_spread_lie_between():
    # singular values 3 and 1: shares 3/4 and 1/4
    rows = torch.tensor([[3.0, 0], [-3.0, 0], [0, 1.0], [0, -1.0]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(rows) == pytest.approx(math.exp(entropy), rel=1e-5)


def test_rank_knows_no_shift_and_no_scale():
    rows = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    rank = effective_rank(rows).item()
    assert effective_rank(rows * 1e3 + 7) == pytest.approx(rank, rel=1e-3)
    assert 1 < rank < 5


def test_collapsed_features_have_a_finite_rank_of_one():
    assert effective_rank(torch.ones(10, 4)) == pytest.approx(1, abs=1e-3)


def test_only_so_many_rows_are_looked_at():
    rows = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    assert effective_rank(rows, at_most=10) == pytest.approx(effective_rank(rows[::10]).item())


def test_half_precision_is_measured_in_float32():
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    assert effective_rank(rows.half()) == pytest.approx(effective_rank(rows).item(), rel=1e-2)


def test_gradient_norm_of_a_linear_term_is_that_of_its_coefficients():
    weight, bias = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor(0.0))
    terms = {"linear": 3 * weight[0] + 4 * weight[1], "both": weight.sum() + bias}
    assert gradient_norms(terms, [weight, bias]) == pytest.approx({"linear": 5, "both": math.sqrt(3)})


def test_a_term_apart_from_the_parameters_has_norm_zero_and_a_constant_has_none():
    weight, other = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    assert gradient_norms({"apart": other.sum(), "constant": torch.tensor(1.0)}, [weight]) == {"apart": 0.0}


def test_gradient_norms_leave_the_graph_and_the_gradients_alone():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    term = weight.square().sum()
    gradient_norms({"a": term, "b": 2 * term}, [weight])
    assert weight.grad is None
    term.backward()
    assert weight.grad.tolist() == [2, 4]

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from monai_cl.report import paired_difference


def values(*numbers: float) -> dict[str, float]:
    return {f"case{i}": number for i, number in enumerate(numbers)}


def test_the_mean_is_over_cases_both_have():
    found = paired_difference({"a": 0.5, "b": 0.6, "only a": 0.0}, {"b": 0.7, "a": 0.7, "only b": 1.0})
    assert found.pairs == 2
    assert found.mean == pytest.approx(0.15)


def test_no_common_case_gives_no_number():
    found = paired_difference({"a": 0.5}, {"b": 0.5})
    assert (found.pairs, found.mean, found.low, found.p_value) == (0, None, None, None)
    assert found.note == "no case has both values"


def test_five_pairs_are_too_few_for_an_interval_and_six_are_enough():
    five = paired_difference(values(*[0.0] * 5), values(0.1, 0.2, 0.3, 0.4, 0.5))
    assert five.mean == pytest.approx(0.3)
    assert (five.low, five.high, five.p_value) == (None, None, None)
    assert five.note == "5 pairs: too few for an interval or a test (6 needed)"
    six = paired_difference(values(*[0.0] * 6), values(0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    assert six.note == ""
    assert six.p_value == pytest.approx(2 / 2**6)


def test_the_interval_is_repeatable_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    a, b = values(*rng.random(12)), values(*rng.random(12))
    first = paired_difference(a, b)
    assert first == paired_difference(dict(reversed(a.items())), dict(reversed(b.items())))
    assert first.low < first.mean < first.high


def test_the_interval_agrees_with_scipy():
    rng = np.random.default_rng(3)
    differences = rng.normal(0.05, 0.1, 20)
    found = paired_difference(values(*np.zeros(20)), values(*differences))
    expected = bootstrap((differences,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=2e-3)
    assert found.high == pytest.approx(expected.high, abs=2e-3)


def test_resampling_in_blocks_gives_an_interval_for_thousands_of_cases():
    found = paired_difference(values(*np.zeros(5000)), values(*np.random.default_rng(0).normal(0.1, 1, 5000)))
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(5000), rel=0.1)


@pytest.mark.parametrize("differences", [(0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7), (0.1, 0.1, 0.2, -0.1, 0.2, 0.3, 0.1)])
def test_p_is_the_share_of_sign_patterns_at_least_as_extreme(differences: tuple[float, ...]):
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences))
    statistic = abs(sum(rank * np.sign(d) for rank, d in zip(ranks, differences)))
    extreme = [abs(np.dot(signs, ranks)) >= statistic - 1e-9 for signs in product([-1, 1], repeat=len(ranks))]
    found = paired_difference(values(*np.full(7, 0.3)), values(*(0.3 + d for d in differences)))
    assert found.p_value == pytest.approx(np.mean(extreme))


def test_equal_values_give_a_zero_interval_and_no_test():
    found = paired_difference(values(*[0.7] * 8), values(*[0.7] * 8))
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, None)
    assert found.note == "0 of 8 pairs differ: too few for a test (6 needed)"


def test_differences_of_rounding_do_not_count_as_differences():
    a = values(*[0.1 + 0.2] * 8)
    assert paired_difference(a, values(*[0.3] * 8)).p_value is None

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from monai_cl.report import paired_difference
from monai_cl.report.statistics import seed_difference


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


def test_two_scans_of_a_patient_count_as_one_in_interval_and_test():
    rng = np.random.default_rng(1)
    one = rng.normal(0.05, 0.1, 12)
    scans = {f"{i}{phase}": value for i, value in enumerate(one) for phase in ("ED", "ES")}
    patients = {name: name[:-2] for name in scans}
    none = dict.fromkeys(scans, 0.0)
    alone = paired_difference(values(*np.zeros(12)), values(*one))
    twice, wrong = paired_difference(none, scans, patients), paired_difference(none, scans)
    assert (twice.pairs, len(twice.differences), twice.mean) == (24, 24, pytest.approx(alone.mean))
    assert twice.p_value == pytest.approx(alone.p_value)
    assert wrong.p_value < twice.p_value
    # copies of a scan add nothing: the interval is as wide as with one, without patients too narrow by the root of two
    assert twice.high - twice.low == pytest.approx(alone.high - alone.low, rel=0.03)
    assert twice.high - twice.low == pytest.approx(np.sqrt(2) * (wrong.high - wrong.low), rel=0.05)


def test_scans_of_few_patients_are_too_few():
    scans = values(*np.linspace(0.1, 0.2, 8))
    found = paired_difference(dict.fromkeys(scans, 0.0), scans, {name: str(i // 4) for i, name in enumerate(scans)})
    assert (found.low, found.p_value) == (None, None)
    assert found.note == "8 pairs of 2 patients: too few for an interval or a test (6 needed)"


def test_seeds_and_patients_with_missing_pairs_are_paired_by_value():
    differences = np.array([[0.1, 0.3, np.nan, 0.2, 0.5, 0.4], [0.1, 0.1, np.nan, np.nan, 0.3, 0.2]])
    found = seed_difference(differences, ["a", "a", "a", "b", "c", "d"])
    assert (found.pairs, found.seeds) == (9, 2)
    assert found.differences == pytest.approx((0.1, 0.2, 0.2, 0.4, 0.3))
    assert found.mean == pytest.approx(2.2 / 9)
    assert found.low < found.mean < found.high
    assert found.note == "4 patients: too few for a test (6 needed)"

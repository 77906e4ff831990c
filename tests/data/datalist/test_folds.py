"""Which scans a run sees: folds, nested label fractions, and the division by patient."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cl.data.datalist.folds import extend_folds, fold_items, label_subset, split_folds
from monai_cl.data.datalist.loading import DataList, load_data_list
from monai_cl.errors import UserError

LISTS = Path(__file__).resolve().parents[3] / "data_lists"
FRACTIONS = (0.05, 0.15, 0.5, 1.0)


@pytest.fixture(scope="module")
def btcv() -> DataList:
    return load_data_list(LISTS / "btcv.json")


def ids(items) -> list[str]:
    return [item["id"] for item in items]


def items_of(patients) -> list[dict]:
    return [{"patient": str(patient), "id": f"{i}"} for i, patient in enumerate(patients)]


@pytest.mark.parametrize("fold", range(5))
def test_folds_divide_the_list(btcv, fold):
    training, validation = fold_items(btcv, fold=fold), fold_items(btcv, fold=fold, split="validation")
    assert (len(training), len(validation)) == (24, 6)
    assert {item["fold"] for item in validation} == {fold}
    assert sorted(ids(training) + ids(validation)) == sorted(ids(btcv.items()))


@pytest.mark.parametrize("fold", [None, 0, 4])
@pytest.mark.parametrize("seed", [0, 7])
def test_smaller_fraction_is_part_of_the_larger(btcv, fold, seed):
    chosen = [ids(fold_items(btcv, fold=fold, label_fraction=f, seed=seed)) for f in FRACTIONS]
    assert [len(part) for part in chosen] == ([2, 4, 12, 24] if fold is not None else [2, 5, 15, 30])
    for small, large in pairwise(chosen):
        assert set(small) < set(large)


def test_fraction_keeps_the_order_of_the_list(btcv):
    whole = ids(fold_items(btcv, fold=1))
    part = ids(fold_items(btcv, fold=1, label_fraction=0.5))
    assert part == [name for name in whole if name in part]


def test_fraction_is_the_same_forever(btcv):
    # written down: another result would make old and new runs incomparable
    assert ids(fold_items(btcv, fold=0, label_fraction=0.15)) == ["img0009", "img0032", "img0033", "img0034"]


def test_seed_and_fold_change_the_choice(btcv):
    first = ids(fold_items(btcv, fold=0, label_fraction=0.5))
    assert first != ids(fold_items(btcv, fold=0, label_fraction=0.5, seed=1))
    common = {name for name in first if name in ids(fold_items(btcv, fold=1))}
    assert common != common & set(ids(fold_items(btcv, fold=1, label_fraction=0.5)))


def test_validation_is_never_reduced(btcv):
    assert len(fold_items(btcv, fold=0, label_fraction=0.05, split="validation")) == 6


def test_without_a_fold_the_lists_own_validation_stands(tmp_path):
    document = {"name": "a", "training": [{"image": f"{i}"} for i in range(10)], "validation": [{"image": "v"}]}
    path = tmp_path / "list.json"
    path.write_text(json.dumps(document))
    data_list = load_data_list(path)
    assert len(fold_items(data_list, fold=None)) == 10
    assert len(fold_items(data_list, fold=None, label_fraction=0.15)) == 2
    assert ids(fold_items(data_list, fold=None, split="validation")) == ["v"]


def test_fraction_is_taken_of_each_data_set():
    data_list = load_data_list(LISTS / "mixcl_pretraining.json")
    counts = Counter(item["dataset"] for item in fold_items(data_list, fold=None, label_fraction=0.05))
    assert counts == {"msd_liver": 7, "msd_lung": 4, "msd_pancreas": 15, "kits19": 11, "nih_pancreas_ct": 4}


def test_subset_of_a_combined_list_is_that_of_its_lists(btcv):
    alone = load_data_list(LISTS / "msd_lung.json")
    together = load_data_list(LISTS / "mixcl_pretraining.json")
    chosen = fold_items(together, fold=None, label_fraction=0.15)
    assert ids(fold_items(alone, fold=None, label_fraction=0.15)) == [
        item["id"] for item in chosen if item["dataset"] == "msd_lung"
    ]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fold": 5}, r"btcv\.json: no fold 5: data set btcv has the folds 0, 1, 2, 3, 4"),
        ({"fold": "0"}, "fold must be an integer or None, got '0'"),
        ({"fold": True}, "fold must be an integer or None, got True"),
        ({"fold": 0, "label_fraction": 0}, r"label_fraction must be in \(0, 1\], got 0"),
        ({"fold": 0, "label_fraction": 15}, r"label_fraction must be in \(0, 1\], got 15; for 15 % write 0.15"),
        ({"fold": 0, "label_fraction": float("nan")}, "label_fraction must be in"),
        ({"fold": 0, "label_fraction": "0.5"}, "label_fraction must be in"),
        ({"fold": 0, "split": "test"}, "split must be 'training' or 'validation', got 'test'"),
        ({"fold": None, "split": "validation"}, "no validation items for fold None; name a fold, or add items"),
    ],
)
def test_wrong_argument_is_refused(btcv, arguments, match):
    with pytest.raises(UserError, match=match):
        fold_items(btcv, **arguments)


def test_list_without_folds_says_how_to_get_them():
    with pytest.raises(UserError, match="data set kits19 has no folds; `datalist split` makes some"):
        fold_items(load_data_list(LISTS / "kits19.json"), fold=0)


patients = st.lists(st.integers(0, 30), min_size=1, max_size=60)
fractions = st.floats(0.001, 1.0)


@settings(deadline=None)
@given(patients, fractions, fractions, st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_subset_is_nested_of_the_right_size_and_blind_to_order(patients, first, second, seed, shuffler):
    items = items_of(patients)
    small, large = (label_subset(items, fraction=f, seed=seed) for f in sorted((first, second)))
    assert set(ids(small)) <= set(ids(large))
    assert 1 <= len(large) <= len(items)
    assert abs(len(large) - math.ceil(max(first, second) * len(items))) <= (1 if max(first, second) < 1 else 0)
    mixed = items.copy()
    shuffler.shuffle(mixed)
    assert set(ids(label_subset(mixed, fraction=min(first, second), seed=seed))) == set(ids(small))


@settings(deadline=None)
@given(patients, fractions, st.integers(0, 9))
def test_subset_takes_whole_patients_but_for_the_last(patients, fraction, seed):
    items = items_of(patients)
    kept = Counter(item["patient"] for item in label_subset(items, fraction=fraction, seed=seed))
    whole = Counter(item["patient"] for item in items)
    assert sum(kept[patient] < whole[patient] for patient in kept) <= 1


def test_new_scan_hardly_changes_the_choice():
    items = items_of(range(100))
    before = set(ids(label_subset(items, fraction=0.2)))
    after = set(ids(label_subset([*items, {"patient": "new", "id": "new"}], fraction=0.2)))
    assert len(before & after) >= 19


def test_rounding_error_adds_no_scan():
    assert len(label_subset(items_of(range(100)), fraction=0.07)) == 7


def test_subset_of_nothing_is_nothing():
    assert label_subset([], fraction=0.5) == []


# --- making folds


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=5, max_size=80), st.integers(2, 5), st.integers(0, 2**31))
def test_patient_is_in_one_fold_and_no_fold_is_empty(numbers, folds, seed):
    names = [f"P{number}" for number in numbers]
    if len(set(names)) < folds:
        with pytest.raises(UserError, match="expected at least as many patients as folds"):
            split_folds(names, folds=folds, seed=seed)
        return
    assigned = split_folds(names, folds=folds, seed=seed)
    assert set(assigned) == set(range(folds))
    fold_of: dict[str, int] = {}
    assert all(fold_of.setdefault(name, fold) == fold for name, fold in zip(names, assigned))
    groups = Counter(fold_of.values())
    assert max(groups.values()) - min(groups.values()) <= 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=10, max_size=80), st.integers(2, 5), st.integers(0, 2**31))
def test_strata_are_balanced_where_every_scan_is_a_patient(strata, folds, seed):
    assigned = split_folds([f"P{i}" for i in range(len(strata))], folds=folds, seed=seed, strata=strata)
    sizes = Counter(assigned)
    assert max(sizes.values()) - min(sizes[fold] for fold in range(folds)) <= 1
    for key, count in Counter(strata).items():
        shares = [sum(k == key and f == fold for k, f in zip(strata, assigned)) for fold in range(folds)]
        assert sum(shares) == count
        assert max(shares) - min(shares) <= 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2)), min_size=10, max_size=80),
    st.integers(2, 4),
    st.integers(0, 2**31),
)
def test_strata_with_several_scans_a_patient_keep_patients_together(scans, folds, seed):
    names = [f"P{number}" for number, _ in scans]
    if len(set(names)) < folds:
        return
    assigned = split_folds(names, folds=folds, seed=seed, strata=[key for _, key in scans])
    fold_of: dict[str, int] = {}
    assert all(fold_of.setdefault(name, fold) == fold for name, fold in zip(names, assigned))
    assert set(assigned) == set(range(folds))


def test_patients_with_many_scans_are_spread():
    names = [name for i in range(5) for name in [f"many{i}"] * 4] + [f"one{i}" for i in range(20)]
    assert set(Counter(split_folds(names, folds=5)).values()) == {8}


def test_leftover_patients_fall_to_other_folds_with_another_seed():
    larger = {Counter(split_folds(["a", "b", "c"], folds=2, seed=seed)).most_common(1)[0][0] for seed in range(20)}
    assert larger == {0, 1}


def test_division_is_the_same_forever():
    # written down: another result would make old and new cross-validations incomparable
    assert split_folds([f"P{i}" for i in range(10)], folds=3, seed=0) == [2, 0, 1, 1, 1, 0, 1, 2, 0, 2]


def test_division_depends_on_the_seed_and_not_on_the_order():
    names = [f"P{i}" for i in range(40)]
    first = dict(zip(names, split_folds(names, seed=3)))
    shuffled = random.Random(0).sample(names, len(names))
    assert dict(zip(shuffled, split_folds(shuffled, seed=3))) == first
    assert dict(zip(names, split_folds(names, seed=4))) != first


@pytest.mark.parametrize("folds", [1, 0, 2.5, True, "5"])
def test_number_of_folds_is_checked(folds):
    with pytest.raises(UserError, match="folds must be an integer of at least 2"):
        split_folds(["a", "b", "c"], folds=folds)


def test_strata_must_fit_the_items():
    with pytest.raises(ValueError, match=r"one key per item \(3\), got 2"):
        split_folds(["a", "b", "c"], folds=2, strata=[1, 2])


@given(
    patients=st.lists(st.integers(0, 15), min_size=4, max_size=30),
    new=st.lists(st.integers(16, 40), min_size=1, max_size=12),
    folds=st.integers(2, 4),
    seed=st.integers(0, 3),
)
def test_who_has_a_fold_keeps_it_and_new_patients_fill_the_smallest(patients, new, folds, seed):
    names = [f"P{number}" for number in patients]
    if len(set(names)) < folds:
        return
    kept = dict(zip(names, split_folds(names, folds=folds, seed=seed)))
    everybody = [*names, *(f"P{number}" for number in new)]
    assigned = dict(zip(everybody, extend_folds(everybody, kept=kept, seed=seed)))
    assert {name: assigned[name] for name in names} == kept
    sizes = Counter(assigned.values())
    assert max(sizes.values()) - min(sizes[fold] for fold in range(folds)) <= 1  # a division by cards differs by one
    assert extend_folds(everybody[::-1], kept=kept, seed=seed) == [assigned[name] for name in everybody[::-1]]


def test_new_patients_of_a_stratum_go_where_it_has_fewest():
    kept = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1}
    strata = ["x", "y", "y", "y", "y", "x"]
    assert extend_folds([*kept, "new"], kept=kept, strata=strata)[-1] == 1
    strata[-1] = "y"  # two in each: the smaller fold
    assert extend_folds([*kept, "new"], kept=kept, strata=strata)[-1] == 1
    assert extend_folds(["a", "new"], kept=kept, folds=3)[-1] in (1, 2)


@pytest.mark.parametrize(
    ("kept", "folds", "message"),
    [({}, None, "folds to keep, found none"), ({"a": 4}, 3, r"that are kept \(5\), found 3")],
)
def test_folds_that_cannot_be_kept(kept, folds, message):
    with pytest.raises(UserError, match=message):
        extend_folds(["a", "b"], kept=kept, folds=folds)

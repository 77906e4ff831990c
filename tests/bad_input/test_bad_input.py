"""Every row of the table: one clear error and nothing written, or the repair that the table promises."""

from __future__ import annotations

import pytest

from tests.bad_input.advice import advice_faults, advice_in
from tests.bad_input.case import GROUPS, Case
from tests.bad_input.document import PAGE, page
from tests.bad_input.doors import DOORS
from tests.bad_input.table import CASES
from tests.bad_input.world import World

HERE = [case for case in CASES if set(case.doors) <= DOORS.keys()]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.real_data] if c.real else []) for c in HERE], ids=str
)
def test_it_is_refused_in_one_line_or_repaired(case: Case, tmp_path, request):
    world = World(tmp_path, real=request.getfixturevalue("real_data") / "odd_files" if case.real else None)
    case.make(world)
    before = world.stored()
    for door in case.doors:
        found = DOORS[door](world)
        if case.repair:
            assert found.error is None, f"{door}: {found.shown}"
            continue
        assert found.error is not None, f"{door} took it: {found.shown}"
        for part in case.names:
            assert part in found.shown, f"{door} does not say {part!r}: {found.shown}"
        assert advice_faults(advice_in(found.shown), [door]) == []
        if door == "datalist validate" and "listed above" in found.error:
            words = f"{case.problems} problem" + ("s" if case.problems > 1 else "")
            assert f": {words}, listed above" in found.error, found.shown
        assert world.out.exists() == world.keep_out
        assert not list(world.out.rglob("*")), f"{door} wrote {sorted(world.out.rglob('*'))}"
        assert world.stored() <= {*before, "good", "fine"}
    if case.check is not None:
        case.check(world)


def test_there_are_more_than_sixty_and_each_is_there_once():
    assert len(CASES) >= 60
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {case.group for case in CASES} == set(GROUPS)


def test_the_page_of_the_documentation_is_that_of_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.bad_input.document"

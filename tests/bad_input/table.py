"""The table of bad input, whole."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import BYTES
from tests.bad_input.cases_geometry import GEOMETRY
from tests.bad_input.cases_values import VALUES

CASES: list[Case] = [*BYTES, *GEOMETRY, *VALUES]

"""The table of bad input, whole."""

from __future__ import annotations

from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import BYTES
from tests.bad_input.cases_folders import FOLDERS
from tests.bad_input.cases_geometry import GEOMETRY
from tests.bad_input.cases_images import IMAGES
from tests.bad_input.cases_lists import LISTS
from tests.bad_input.cases_real import REAL
from tests.bad_input.cases_runs import RUNS
from tests.bad_input.cases_tables import TABLES
from tests.bad_input.cases_values import VALUES
from tests.bad_input.cases_weights import WEIGHTS

CASES: list[Case] = [*BYTES, *GEOMETRY, *VALUES, *LISTS, *IMAGES, *FOLDERS, *TABLES, *WEIGHTS, *RUNS, *REAL]

"""Re-export of `monai_cl.data.results`."""

from monai_cl.data.results import *  # noqa: F403
from monai_cl.data.results import check_results, write_atomically  # noqa: F401

"""Parts of the comparison of slice methods, `wsp_methods.py`."""

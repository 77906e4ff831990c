"""The parts of the HTML report: its answer, charts, pictures and folded details."""

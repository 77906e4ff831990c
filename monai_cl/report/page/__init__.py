"""The parts of the HTML report: its answer, charts, pictures and folded details."""

from pathlib import Path

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
"""The style sheet of the report and of a study's table."""

"""The style sheet of the report and of a study's table."""

from __future__ import annotations

from pathlib import Path

STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")

"""A command in the process of the tests."""

from __future__ import annotations

from monai_cl.cli.commands import main


def exit_status(*words: object) -> int:
    """Run ``python -m monai_cl WORDS`` here, and give what the process would have ended with."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0

"""What is folded away on the page until it is asked for."""

from __future__ import annotations

from html import escape


def folded(summary: str, body: str) -> str:
    """``body`` behind one line of text.

    Args:
        summary: the line, plain text.
        body: HTML.
    """
    return f"<details><summary>{escape(summary)}</summary>\n{body}</details>\n"


def folded_section(name: str, body: str) -> str:
    """A section behind its heading; the anchor is the heading in small letters.

    Args:
        name: heading, plain text.
        body: HTML.
    """
    return f'<details class="part" id="{anchor(name)}"><summary><h2>{escape(name)}</h2></summary>\n{body}</details>\n'


def anchor(name: str) -> str:
    """The id of a section."""
    return name.lower().replace(" ", "-")

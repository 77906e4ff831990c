from __future__ import annotations

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure


@pytest.fixture
def as_svg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are saved as SVG, whose marks and colours can be counted."""
    save = Figure.savefig

    def saved(figure: Figure, buffer, **_) -> None:
        with rc_context({"svg.hashsalt": "monai_cl", "svg.fonttype": "path"}):
            save(figure, buffer, format="svg", metadata={"Date": None})

    monkeypatch.setattr(Figure, "savefig", saved)

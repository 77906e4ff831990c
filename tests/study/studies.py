"""Small studies whose cells are tiny programs."""

from __future__ import annotations

import copy
from pathlib import Path

import yaml

from monai_cl.study import Expansion, StudyDefinition, StudyFolder, expand, load_study

# writes its arguments where a bundle writes its results
LAST = "import json,sys; json.dump({'metrics': {'auc': float(sys.argv[2])}}, open(sys.argv[1] + '/results.json', 'w'))"
FIRST = "import sys; open(sys.argv[1] + '/encoder', 'a').write('x')"

TINY = {
    "name": "tiny",
    "steps": {
        "first": {"program": ["python", "-c", FIRST, "{output}"], "options": {"seed": "{seed}"}},
        "last": {"program": ["python", "-c", LAST, "{output}", "{seed}.{fold}"], "options": {"start": "none"}},
    },
    "arms": {"scratch": {}, "pretrained": {"last": {"start": "{first}/encoder"}}},
    "folds": [0, 1],
    "seeds": [3, 4],
    "measure": {"step": "last", "metric": "metrics.auc"},
}


def written(folder: Path, **changes: object) -> Path:
    """`TINY` with top-level keys replaced, as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(copy.deepcopy({**TINY, **changes}), sort_keys=False), encoding="utf-8")
    return path


def opened(folder: Path, **changes: object) -> tuple[StudyDefinition, Expansion, StudyFolder]:
    """The definition, the cells and the folder of a study."""
    study = load_study(written(folder, **changes))
    return study, expand(study), StudyFolder(folder / "out")

"""``monai_cl completion``: the shell completes commands and options."""

from __future__ import annotations

from typing import Any

from monai_cl.compat import fire_completion
from monai_cl.errors import UserError

SHELLS = ("bash", "fish")
PROGRAM = "monai_cl"


def completion_script(commands: Any, shell: str) -> str:
    """Fire's completion script for the program ``monai_cl``, which pip installs beside ``python``.

    Raises:
        UserError: a shell that Fire has no script for.
    """
    if shell not in SHELLS:
        raise UserError(
            f"{shell!r}",
            expected=f"one of the shells {', '.join(SHELLS)}",
            remedy="zsh reads bash's after bashcompinit",
        )
    script = fire_completion(commands, program=PROGRAM, shell=shell)
    # file names where no command or option fits
    return script.replace("complete -F ", "complete -o default -F ") if shell == "bash" else script

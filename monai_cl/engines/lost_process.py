"""Whether an error is the loss of another process, whose own message is the one to read."""

from __future__ import annotations

import re
import socket

from monai_cl.engines.distributed.process_group import rank, world_size
from monai_cl.engines.launch.failures import chain

# what gloo, nccl and the store that processes meet at say when one of them is gone or silent
_LOST = re.compile(
    r"Connection (closed|reset) by peer|Broken pipe|Timed out waiting \d+ms|gloo.*[Tt]imed? ?out|Socket Timeout"
    r"|caused pair closure"
    r"|NCCL.*(remote process exited|timeout|unhandled system error)|client has timed out|(recvValue|sendBytes) failed"
)


def lost_process_in(error: BaseException | None) -> str | None:
    """What to tell the user where an exception of one of several processes stems from the loss of another; or None."""
    if world_size() == 1:
        return None
    for found in chain(error):
        text = " ".join(str(found).split())
        if isinstance(found, (RuntimeError, ConnectionError)) and _LOST.search(text):
            return (
                f"process {rank()} of {world_size()} (on {socket.gethostname()}) lost another one, which has ended or "
                f"hangs ({text[:160]}); look for its own message, above or on its machine, mend that and start again "
                "with the same command: it goes on from the last checkpoint"
            )
    return None

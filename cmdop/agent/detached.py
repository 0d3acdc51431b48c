"""What of a process's life depends on the platform: outliving others, and becoming another program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import IO, Any


def detached() -> dict[str, Any]:
    """How a process outlives the terminal and the process that started it: words for Popen."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def can_replace_itself() -> bool:
    """Whether a process can become another program and stay the parent of its children.

    What Windows calls exec starts another process, and a console cannot move to it.
    """
    return sys.platform != "win32"


def nameless_file() -> IO[bytes]:
    """A file for whoever inherits its descriptor, and nobody else; in memory where there is that."""
    if sys.platform == "linux":
        return open(os.memfd_create("cmdop-sessions"), "w+b")
    return tempfile.TemporaryFile()

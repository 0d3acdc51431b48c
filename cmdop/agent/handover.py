"""The sessions of a host, given to the program that it becomes.

exec(2) keeps the process: its pid, its children, and the descriptors that are inherited.
The rest goes through a file that nobody else can open: a memfd, or a temporary file that
has no name any more. Its layout: the length of the head (8 bytes, big-endian), the head
(JSON: `state`, and the `sizes` of the blobs), the blobs.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Sequence
from typing import IO, Any, Final

from cmdop.agent.detached import nameless_file
from cmdop.agent.hosting import HOST_VERB

FORMAT: Final = 2
"""Of the state. A program that knows another one cannot take it over."""
_CHECK_TIMEOUT_SECONDS: Final = 15.0
_LENGTH: Final = struct.Struct("!Q")


def check_line() -> str:
    """What `cmdop session-host --check` prints."""
    return f"cmdop {HOST_VERB} takes over format {FORMAT}"


def obstacle(program: Sequence[str]) -> str:
    """Why that program cannot take over; empty when it can. It is started once, to see."""
    try:
        checked = subprocess.run(
            [*program, HOST_VERB, "--check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CHECK_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"the new one cannot be started: {error}"
    if checked.returncode != 0:
        said = checked.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        return f"the new one does not work: it ended with status {checked.returncode} and said: {said[-1]}"
    if checked.stdout.decode(errors="replace").strip() != check_line():
        return "the new one cannot take these over"
    return ""


def become(program: Sequence[str], state: dict[str, Any], blobs: list[bytes], lease: int) -> None:
    """Turn this process into that program, with the state and the lease's descriptor.

    Comes back only with an OSError; all is as it was then.
    """
    with nameless_file() as file:
        write(file, state, blobs)
        for fd in (file.fileno(), lease):
            os.set_inheritable(fd, True)
        try:
            os.execv(program[0], [*program, HOST_VERB, "--state", str(file.fileno()), "--lease", str(lease)])
        finally:
            os.set_inheritable(lease, False)


def write(file: IO[bytes], state: dict[str, Any], blobs: list[bytes]) -> None:
    """Write what `read` reads, from the beginning. Raises OSError."""
    head = json.dumps({"state": state, "sizes": [len(blob) for blob in blobs]}).encode()
    file.writelines((_LENGTH.pack(len(head)), head, *blobs))
    file.flush()
    file.seek(0)


def read(fd: int) -> tuple[dict[str, Any], list[bytes]]:
    """The state and the blobs; the descriptor is closed. Raises ValueError, OSError or EOFError."""
    with open(fd, "rb") as file:
        (length,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
        head = json.loads(_exactly(file, length))
        return head["state"], [_exactly(file, size) for size in head["sizes"]]


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError(f"{size - len(data)} bytes are missing")
    return data

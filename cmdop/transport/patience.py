"""How long a blocking step on a socket may take while a connection is being made."""

from __future__ import annotations

import socket

from cmdop.deadline import Deadline


def allow(sock: socket.socket, deadline: Deadline) -> None:
    """Let the socket's next step take what is left. Raises TimeoutError when nothing is.

    For each step anew: a peer that sends one byte at a time gets no more time than one
    that sends none.
    """
    left_seconds = deadline.remaining_seconds
    if left_seconds == 0.0:
        raise TimeoutError("timed out")
    sock.settimeout(left_seconds)

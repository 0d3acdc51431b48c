"""One terminal model, in a process of its own: worker_program.py LIBRARY

Run by isolated.py as a script, with a socket to its session as stdin, and with nothing
installed to look for: the library's path is the argument, and cmdop is where this file
is. It ends when the session closes the socket, or when the library crashes.
"""

import os
import resource
import socket
import sys

assert sys.platform != "win32"

_MEMORY_MAX_BYTES = 2 * 1024 * 1024 * 1024
"""Of address space. The library ends the process when it gets no more."""


def main(library: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the screen may show secrets
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX_BYTES, _MEMORY_MAX_BYTES))
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from cmdop.screen.worker import serve

    with socket.socket(fileno=0) as sock:
        serve(sock, library)


if __name__ == "__main__":
    main(*sys.argv[1:])

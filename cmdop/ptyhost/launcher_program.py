"""Become the program in the arguments, as a session leader; stdin is its terminal if it is one.

Run by launcher.py as a script, with nothing of cmdop to import:

    launcher_program.py LC_CTYPE FOLDER PATH ARGV0 [ARG...]

Descriptor 3 is a pipe: an error's number is written there; its end without one means
that exec succeeded.
"""

import fcntl
import os
import signal
import sys
import termios

assert sys.platform != "win32"

STATUS_FD = 3


def main(ctype: str, folder: str, path: str, *argv: str) -> None:
    """Never returns but with an error."""
    try:
        os.set_inheritable(STATUS_FD, False)
        os.closerange(STATUS_FD + 1, os.sysconf("SC_OPEN_MAX"))
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(folder)
        # The interpreter ignores these (it wants EPIPE and EFBIG) ...
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execve(path, argv, _variables(ctype))
    except OSError as error:
        os.write(STATUS_FD, str(error.errno).encode())


def _variables(ctype: str) -> dict[str, str]:
    # ... and may have put its own choice into LC_CTYPE (PEP 538).
    variables = dict(os.environ)
    variables.pop("LC_CTYPE", None)
    return {**variables, "LC_CTYPE": ctype} if ctype else variables


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(127)

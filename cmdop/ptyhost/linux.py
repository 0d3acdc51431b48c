"""Starting a session leader on Linux, in one step of the C library.

posix_spawn with POSIX_SPAWN_SETSID makes the child a session leader before it performs
the file actions, and the first terminal that a session leader without one opens becomes
its controlling terminal (tty_ioctl(4), TIOCSCTTY). So opening the slave by its name is all
it takes, and no Python runs between fork and exec, which in a process with threads might
meet a lock that nobody will ever release.

Measured, 100 MB of heap: posix_spawn 1.0 ms, forkpty 6.4 ms (it copies the page tables), a
Python launcher 14 ms (launcher.py, for the systems where opening is not enough). `os.posix_spawn`
cannot change the folder, hence the C library's own; glibc 2.29 and musl 1.1.24 have it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import sys
from collections.abc import Mapping
from functools import cache

from cmdop.limits import CLOSE_TIMEOUT_SECONDS
from cmdop.ptyhost.child import Child, WaitedChild
from cmdop.ptyhost.interface import Exited, ShellCommand

assert sys.platform == "linux"

# <spawn.h>; glibc and musl agree.
_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
_OPAQUE_BYTES = 1024
"""More than any of the structures needs: 336, 128 and 80 bytes in glibc."""


def start_child(command: ShellCommand, env: Mapping[str, str], cwd: str, slave: int) -> Child:
    """Start the command as the leader of a session whose terminal `slave` is.

    Signals are default and unblocked in it, and it has no descriptors but 0, 1 and 2.
    Raises OSError for whatever stands against it, the failed exec included.
    """
    return _started(_spawn(command, env, cwd, os.ttyname(slave)))


def start_piped_child(command: ShellCommand, env: Mapping[str, str], cwd: str, streams: tuple[int, int, int]) -> Child:
    """The same without a terminal: the three descriptors, above 2, become its own 0, 1 and 2."""
    return _started(_spawn(command, env, cwd, streams))


def _started(pid: int) -> Child:
    try:
        return adopt_child(pid)
    except OSError:  # out of descriptors
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def adopt_child(pid: int) -> Child:
    """A child that was not reaped yet, whether it runs or has ended. Raises OSError."""
    try:
        return PidfdChild(pid, os.pidfd_open(pid))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return WaitedChild(pid)  # before Linux 5.3, or a sandbox that knows no pidfd


class PidfdChild(Child):
    """A child that is a descriptor (pidfd_open(2)).

    It is reaped at `release` only, so that until then its pid, which is the session's id
    too, cannot become somebody else's.
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd
        self._exited: Exited | None = None

    def fileno(self) -> int:
        return self._pidfd

    def exited(self, timeout_seconds: float = 0.0) -> Exited | None:
        if self._exited is None and self._pidfd >= 0 and self._ended_within(timeout_seconds):
            self._exited = self._end()
        return self._exited

    @property
    def reaped(self) -> Exited | None:
        return None if self._pidfd >= 0 else self._exited

    def release(self) -> None:
        if self._pidfd < 0:
            return
        if self.exited(CLOSE_TIMEOUT_SECONDS) is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        else:
            WaitedChild(self.pid).release()  # it hangs in the kernel: a thread waits for it
        os.close(self._pidfd)
        self._pidfd = -1

    def _end(self) -> Exited | None:
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return Exited(0)  # whoever ignores SIGCHLD never learns it
        if ended is None:
            return None
        killed = ended.si_code != os.CLD_EXITED
        return Exited(0, ended.si_status) if killed else Exited(ended.si_status)

    def _ended_within(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


_Streams = str | tuple[int, int, int]
"""The name of a terminal, or three descriptors."""


def _spawn(command: ShellCommand, env: Mapping[str, str], cwd: str, streams: _Streams) -> int:
    """The child's pid. Raises OSError, also for what went wrong in the child before exec."""
    libc, pid = _libc(), ctypes.c_int()
    actions, attributes = ctypes.create_string_buffer(_OPAQUE_BYTES), ctypes.create_string_buffer(_OPAQUE_BYTES)
    _check(libc.posix_spawn_file_actions_init(actions))
    _check(libc.posix_spawnattr_init(attributes))
    try:
        _describe(libc, actions, attributes, cwd, streams)
        argv = _strings([os.fsencode(word) for word in command.argv])
        variables = _strings([os.fsencode(f"{name}={value}") for name, value in env.items()])
        path = os.fsencode(command.path)
        _check(libc.posix_spawn(ctypes.byref(pid), path, actions, attributes, argv, variables))
        return pid.value
    finally:
        libc.posix_spawn_file_actions_destroy(actions)
        libc.posix_spawnattr_destroy(attributes)


def _describe(libc: ctypes.CDLL, actions: object, attributes: object, cwd: str, streams: _Streams) -> None:
    signals = ctypes.create_string_buffer(_OPAQUE_BYTES)
    libc.sigfillset(signals)
    _check(libc.posix_spawnattr_setsigdefault(attributes, signals))
    libc.sigemptyset(signals)
    _check(libc.posix_spawnattr_setsigmask(attributes, signals))
    _check(libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID)))
    if isinstance(streams, str):
        _check(libc.posix_spawn_file_actions_addopen(actions, 0, os.fsencode(streams), os.O_RDWR, 0))
        streams = (0, 0, 0)
    for fd, stream in enumerate(streams):
        if fd != stream:
            _check(libc.posix_spawn_file_actions_adddup2(actions, stream, fd))
    _check(libc.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(cwd)))
    # Python's own descriptors close themselves at exec (PEP 446); inherited ones may not.
    if hasattr(libc, "posix_spawn_file_actions_addclosefrom_np"):
        _check(libc.posix_spawn_file_actions_addclosefrom_np(actions, 3))


def _strings(values: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """A null-terminated array of C strings. Raises OSError for a null byte in one."""
    if any(b"\0" in value for value in values):
        raise OSError(errno.EINVAL, "a null byte in an argument or variable")
    return (ctypes.c_char_p * (len(values) + 1))(*values, None)


def _check(code: int) -> None:
    """These functions return an error number, and leave errno alone."""
    if code:
        raise OSError(code, os.strerror(code))

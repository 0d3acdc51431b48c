"""A lock between processes: held by a descriptor, so that it dies with its process.

The file says who holds it. It is never removed, for then two could hold "the" lock.
"""

from __future__ import annotations

import contextlib
import os
import threading

from cmdop.errors import HomeUnusable
from cmdop.filelock import lock, unlock
from cmdop.home import Home


class LockFile:
    """One lock in CMDOP_HOME. Not for sharing between threads."""

    def __init__(self, home: Home, name: str) -> None:
        self._path = home.file(name)
        self._home = home
        self._fd = -1

    def acquire(self, blocking: bool = False) -> bool:
        """Take it and write our pid into it; False when another process has it.

        Raises HomeUnusable where there can be no such file.
        """
        self._home.folder()
        try:
            # It is emptied: a link that lies in wait is not followed.
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            if not lock(fd, blocking):
                os.close(fd)
                return False
            os.ftruncate(fd, 0)
            os.write(fd, str(os.getpid()).encode())
        except OSError as error:
            raise HomeUnusable(path=self._path, reason=error.strerror) from error
        self._fd = fd
        return True

    def release(self) -> None:
        """Let the next one have it. Twice is quiet."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                unlock(fd)
            os.close(fd)

    def holder(self) -> int | None:
        """The pid of the process that holds it, None when none does; 0 if it hides."""
        try:
            probe = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusable(path=self._path, reason=error.strerror) from error
        try:
            if lock(probe, blocking=False):
                return None
            return int(os.read(probe, 20) or b"0")
        except ValueError:
            return 0
        finally:
            os.close(probe)


class Released:
    """Waits for a lock to come free, however its holder ends.

    The thread `lock->free` blocks in the lock's acquisition, which the kernel ends when
    the holder's descriptor is closed; it is a daemon, for nothing else can wake it.
    """

    def __init__(self, home: Home, name: str) -> None:
        self._lock = LockFile(home, name)
        self._thread = threading.Thread(target=self._wait, name="lock->free", daemon=True)
        self._thread.start()

    def within(self, seconds: float) -> bool:
        """Whether it comes free within that time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _wait(self) -> None:
        self._lock.acquire(blocking=True)
        self._lock.release()

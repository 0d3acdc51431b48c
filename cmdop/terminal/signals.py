"""Signal handlers that stand for the length of a `with` block."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence


@contextlib.contextmanager
def handled(numbers: Sequence[int], callback: Callable[[int], None], keep_ignored: bool) -> Iterator[None]:
    """Call back with a signal's number while the block runs, then as before.

    On the main thread only (signal.signal raises ValueError elsewhere). With
    `keep_ignored` a signal that was ignored before stays so.
    """
    with contextlib.ExitStack() as previous:
        for number in numbers:
            handler = signal.getsignal(number)
            if keep_ignored and handler is signal.SIG_IGN:
                continue
            signal.signal(number, lambda came, _frame: callback(came))
            # None: a handler that was not set by Python and cannot be set again by it.
            previous.callback(signal.signal, number, signal.SIG_DFL if handler is None else handler)
        yield

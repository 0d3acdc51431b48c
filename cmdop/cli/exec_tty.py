"""`cmdop connect exec --tty`: a command in a terminal of its own, shown in the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdop.cli.exec_signals import attended
from cmdop.cli.options import user_told
from cmdop.client.delivery import Sink
from cmdop.client.executing import CommandEnd, Executing
from cmdop.client.standard_streams import writer
from cmdop.terminal import factory
from cmdop.terminal.modes import ModeTracker
from cmdop.wire.message import replaced

if TYPE_CHECKING:
    from cmdop.cli.connect_exec import Asked
    from cmdop.client.calls import MachineCalls
    from cmdop.wire.exec_messages import Execute


def in_terminal(asked: Asked, calls: MachineCalls, wanted: Execute) -> CommandEnd:
    """Run it, with every key its own, Ctrl-C and Ctrl-D included."""
    with factory.open_terminal() as terminal:
        size = terminal.size()
        told = {"term": user_told("TERM"), "colorterm": user_told("COLORTERM")}
        stream, started = calls.execute(replaced(wanted, rows=size.rows, cols=size.cols, **told))
        modes, write = ModeTracker(), writer(1)

        def show(data: bytes) -> None:
            modes.feed(data)
            write(data)

        executing = Executing(stream, started, Sink(show), Sink(show), lambda _: terminal.read(None) or b"")
        try:
            with (
                attended(executing),
                terminal.on_resize(lambda: executing.resize(terminal.size())),
                terminal.raw(),
            ):
                try:
                    return executing.run(asked.timeout_seconds, hears_signals=True)
                finally:
                    terminal.wake()
                    if terminal.is_tty:
                        write(modes.undo())
        finally:
            if terminal.is_tty:
                terminal.drain_input(modes.answers_due)

"""Questions to somebody at a terminal. The only file that imports questionary.

They are shown on standard error: standard output is for results. Leaving a question with
Ctrl-C raises click.Abort; so does Ctrl-D, but in a list and in what follows it, where it
is an answer of its own. The terminal is as it was afterwards, also when a signal ends us.
On the main thread only.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from cmdop.errors import NotATerminal, UsageError
from cmdop.terminal.signals import handled
from cmdop.winsize import Winsize

if TYPE_CHECKING:
    from questionary import Question

_PAGE_ROWS: Final = 10
_FAR_ROWS: Final = 1 << 30
_ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def can_ask() -> bool:
    """Whether somebody is there who sees a question and can answer it."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask_text(question: str, default: str = "") -> str:
    """One line, without white space around it; `default` if it is empty."""
    shown = f"{question} [{default}]:" if default else f"{question}:"
    return _ask(shown, hidden=False) or default


def ask_hidden(question: str) -> str:
    """One line that is not shown."""
    return _ask(f"{question}:", hidden=True)


def ask_unseen(question: str) -> str:
    """One line exactly as it is typed, of which nothing is shown, not even how long it is.

    For passwords: the question is shown as it is. Raises NotATerminal where it could not
    be hidden, and UsageError for what is no text.
    """
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # which says that it would be shown
            return getpass.getpass(question, sys.stderr)
    except getpass.GetPassWarning as error:
        raise NotATerminal(what="a password") from error
    except UnicodeDecodeError as error:
        raise UsageError(reason="what was typed is no text in this terminal's encoding") from error
    except (KeyboardInterrupt, EOFError) as error:
        click.echo(err=True)  # the question's line is still open
        raise click.Abort from error


class Listing(Protocol):
    """A list to choose from, as a question shows it. Called on the main thread alone."""

    def fragments(self, winsize: Winsize) -> list[tuple[str, str]]:
        """Everything below the question on a terminal of this size: styles (prompt_toolkit's) and texts."""

    def refreshing(self, changed: Callable[[], None]) -> AbstractContextManager[None]:
        """While it is open; `changed` may be called on any thread, and draws it anew."""

    def typed(self, text: str) -> None: ...

    def rub_out(self) -> None: ...

    def rub_out_word(self) -> None: ...

    def clear(self) -> None: ...

    def move(self, rows: int) -> None: ...

    def can_choose(self) -> bool:
        """Whether something is pointed at."""


def choose(question: str, listing: Listing) -> bool:
    """Let somebody point at one of the list: True once it is chosen, False for who leaves with Ctrl-D.

    Raises click.Abort for who cancels with Ctrl-C. Nothing of it stays on the screen.
    """
    with contextlib.ExitStack() as refreshing:

        def shown() -> Question:
            asked = _listing_question(question, listing)
            refreshing.enter_context(listing.refreshing(asked.application.invalidate))
            return asked

        return _or_left(lambda: bool(_answer(shown))) or False


def confirm(question: str) -> bool | None:
    """Yes, which is what Enter means, or no; None for who leaves with Ctrl-D.

    Raises click.Abort for who cancels with Ctrl-C.
    """
    import questionary

    return _or_left(lambda: bool(_answer(lambda: questionary.confirm(question, default=True))))


def _or_left(answer: Callable[[], bool]) -> bool | None:
    """The answer, None for Ctrl-D. Raises click.Abort for Ctrl-C."""
    try:
        return answer()
    except EOFError:
        return None
    except KeyboardInterrupt as error:
        raise click.Abort from error


def _listing_question(question: str, listing: Listing) -> Question:
    """questionary's list, with the rows and the keys of ours.

    Its own filter looks at titles alone, its rows are fixed once it is open, and each
    key draws them all, however many there are.
    """
    import questionary
    from questionary.prompts.common import InquirerControl

    asked = questionary.select(question, ["-"], instruction="(type to filter)", use_jk_keys=False, use_emacs_keys=False)
    app = asked.application
    app.erase_when_done = True
    control: Any
    (control,) = (one for one in app.layout.find_all_controls() if isinstance(one, InquirerControl))

    def fragments() -> list[tuple[str, str]]:
        size = app.output.get_size()
        return listing.fragments(Winsize(size.rows, size.columns))

    control.text = fragments
    _bind(app.key_bindings, listing)
    return asked


def _bind(bindings: Any, listing: Listing) -> None:
    """What the keys do. A key that was bound later is the one that counts."""

    def on(action: Callable[[], None], *keys: str) -> None:
        for key in keys:
            bindings.add(key, eager=True)(lambda _: action())

    on(listing.rub_out, "backspace")
    on(listing.rub_out_word, "c-w")
    on(listing.clear, "c-u", "escape")
    on(lambda: listing.move(-1), "up", "c-p")
    on(lambda: listing.move(1), "down", "c-n")
    on(lambda: listing.move(-_PAGE_ROWS), "pageup")
    on(lambda: listing.move(_PAGE_ROWS), "pagedown")
    on(lambda: listing.move(-_FAR_ROWS), "home")
    on(lambda: listing.move(_FAR_ROWS), "end")

    def leave(event: Any) -> None:
        event.app.exit(exception=EOFError)

    def cancel(event: Any) -> None:
        event.app.exit(exception=KeyboardInterrupt)

    def take(event: Any) -> None:
        if listing.can_choose():
            event.app.exit(result=True)

    bindings.add("c-d", eager=True)(leave)
    bindings.add("<sigint>")(cancel)
    bindings.add("enter", eager=True)(take)
    bindings.add("c-j", eager=True)(take)
    for typed in ("<any>", "<bracketed-paste>"):
        bindings.add(typed)(lambda event: listing.typed(event.data))


def _ask(question: str, hidden: bool) -> str:
    import questionary  # a tenth of a second, for who is asked something

    kind = questionary.password if hidden else questionary.text
    try:
        return str(_answer(lambda: kind(question))).strip()
    except (KeyboardInterrupt, EOFError) as error:
        raise click.Abort from error


def _answer(question: Callable[[], Question]) -> Any:
    """What is answered. Raises KeyboardInterrupt for Ctrl-C, and EOFError for Ctrl-D."""
    ended: list[int] = []
    # It looks for stdout, when it is made as well as when it asks.
    with contextlib.redirect_stdout(sys.stderr):
        asked = question()
        with handled(_ENDING, lambda number: _leave(asked, ended, number), keep_ignored=True):
            try:
                answer = asked.unsafe_ask()
            except _Ended:
                answer = None
    if ended:
        raise SystemExit(128 + ended[0])
    return answer


class _Ended(Exception):
    """A signal ended the question."""


def _leave(asked: Question, ended: list[int], number: int) -> None:
    """Let the question end by itself: what is raised in the middle of its loop is told as a mistake."""
    loop = asked.application.loop
    if loop is None or not loop.is_running():
        raise SystemExit(128 + number)
    ended.append(number)
    loop.call_soon_threadsafe(_end, asked)


def _end(asked: Question) -> None:
    future = asked.application.future
    if future is not None and not future.done():
        asked.application.exit(exception=_Ended())

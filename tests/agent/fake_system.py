"""The programs of a service manager that only write down that they were run."""

from __future__ import annotations

from collections.abc import Sequence

from cmdop.agent.install.programs import Ran


class FakeSystem:
    """A `Run`. `answers` has what a program with these first words says; all others just succeed."""

    def __init__(self, answers: dict[str, Ran] | None = None) -> None:
        self.answers = answers or {}
        self.ran: list[str] = []

    def __call__(self, words: Sequence[str]) -> Ran:
        line = " ".join(words)
        self.ran.append(line)
        return next((ran for begin, ran in self.answers.items() if line.startswith(begin)), Ran(0))

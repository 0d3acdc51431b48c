"""Texts in cells: what stands under each other starts in the same one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from cmdop.terminal.cells import GAP, aligned, fitted, width_of

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@given(TEXTS, st.integers(0, 30))
@example("日本", 3)
@example("日本", 1)
def test_a_fitted_text_has_exactly_so_many_cells(text: str, cells: int) -> None:
    shown = fitted(text, cells, "…")
    assert width_of(shown) == cells
    if width_of(text) <= cells:
        assert shown.startswith(text)
    elif cells:
        assert "…" in shown


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
@example([("日本語", "host1"), ("e\u0301te", "host2"), ("🚀", "host3")])
def test_columns_begin_in_the_same_cell_in_every_row(rows: list[tuple[str, str]]) -> None:
    widest = max(width_of(first) for first, _ in rows)
    for (first, second), line in zip(rows, aligned(rows), strict=True):
        filled = first + " " * (widest - width_of(first))
        assert line == (filled + GAP + second).rstrip()

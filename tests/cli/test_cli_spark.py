"""Small drawings made of characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.cli.spark import ASCII, BLOCKS, Charset, bars, gauge


def test_bars() -> None:
    """A bar is as high as its value; nothing known is nothing drawn; nothing is never more."""
    assert bars([None, 0.0, 0.5, 1.0, 7.0], 1.0, 1, BLOCKS) == [" ▁▄██"]
    assert bars([None, 0.0, 0.5, 0.75, 1.0], 1.0, 2, BLOCKS) == ["   ▄█", " ▁███"]
    assert bars([None, 0.0, 0.5, 1.0], 1.0, 1, ASCII) == [" _=#"]


@settings(deadline=None)
@given(
    st.lists(st.none() | st.floats(0, 1e9), max_size=50),
    st.floats(1e-6, 1e9),
    st.integers(1, 4),
    st.sampled_from([BLOCKS, ASCII]),
)
def test_bars_fill_their_place(
    values: list[float | None], greatest: float, rows: int, charset: Charset
) -> None:
    """Bars are as many columns wide as there are values, and stand on the ground."""
    drawn = bars(values, greatest, rows, charset)
    assert [len(row) for row in drawn] == [len(values)] * rows
    for column in zip(*drawn, strict=True):
        ground = "".join(column).lstrip(" ")
        assert " " not in ground
        assert set(ground[1:]) <= {charset.levels[-1]}


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (0.0, ("", "....")),
        (0.5, ("##", "..")),
        (1.0, ("####", "")),
        (7, ("####", "")),
        (-1, ("", "....")),
    ],
)
def test_gauge(share: float, drawn: tuple[str, str]) -> None:
    """A gauge is full to its share, and never beyond its ends."""
    assert gauge(share, 4, ASCII) == drawn


def test_ascii_is_ascii() -> None:
    """The plain characters are understood by every terminal."""
    every = "".join([*ASCII.states.values(), ASCII.levels, ASCII.full, ASCII.rest, ASCII.dot])
    assert "".join([every, ASCII.mark, *ASCII.corners, *ASCII.sides]).isascii()
    assert len(set(ASCII.states.values())) == len(set(BLOCKS.states.values())) == 6

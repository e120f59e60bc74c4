"""By which clock the tests of a folder run: a virtual one, or the real one within a limit."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Runner = Callable[..., Any]

# Far beyond what any test needs, and below the 20 s of `open_timeout`: a guard
# that only ends by that timeout fails here. It says nothing about speed.
LIMIT = 15


def in_virtual_time(fn: Any, **options: Any) -> Any:
    """Stand in for `trio.run`, with a clock that jumps whenever all tasks sleep."""
    options["clock"] = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(fn, **options)


def within_limit(fn: Any, **options: Any) -> Any:
    """Stand in for `trio.run`, in real time, and not for ever."""

    async def limited() -> Any:
        with trio.fail_after(LIMIT):
            return await fn()

    return trio.run(limited, **options)


def run_by(items: list[pytest.Item], folder: Path, choose: Callable[[pytest.Item], Runner]) -> None:
    """Have each async test of a folder run by what is chosen for it.

    In front of the mark that pytest-trio's own mode adds: the first one wins.
    """
    for item in items:
        is_async = iscoroutinefunction(getattr(item, "obj", None))
        if is_async and folder in item.path.parents:
            item.add_marker(pytest.mark.trio(run=choose(item)), append=False)

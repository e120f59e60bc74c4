"""The page on testing tells the truth: its tutorial runs as written, its tables are the code's.

``python -m tests.testing.test_docs_testing`` writes the tables anew.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests import mutants
from tests.pages import ROOT, Act, acts, assert_runs, blocks, marked, table
from trio_wsguard.testing import Link, SimulatedNetwork, peer, strategies
from trio_wsguard.testing.conformance import all_properties
from trio_wsguard.testing.peer import ScriptedPeer
from trio_wsguard.testing.peer.script import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH: Final = ROOT / "docs" / "testing.md"
PAGE: Final = PATH.read_text()
TUTORIAL, _, REFERENCE = PAGE.partition("\n# Reference\n")
REGENERATE: Final = "docs/testing.md is behind: python -m tests.testing.test_docs_testing"


# --- the tutorial --------------------------------------------------------------


@pytest.mark.parametrize("act", acts(TUTORIAL), ids=lambda act: act.command)
def test_the_tutorial_runs_as_written(act: Act, tmp_path: Path) -> None:
    """Each command of the tutorial prints what the page shows, and fails where it says so."""
    assert_runs(act, tmp_path)


def test_the_client_is_small() -> None:
    """The client that the tutorial begins with has about thirty lines of code."""
    first = next(block for block in blocks(TUTORIAL) if block.title == "chat.py")
    assert sum(bool(line.strip()) for line in first.body.splitlines()) <= 30


# --- the reference -------------------------------------------------------------


def first_line(value: object) -> str:
    """Tell the first line of a docstring, in the form of a cell."""
    return inspect.cleandoc(value.__doc__ or "").partition("\n")[0].removesuffix(".")


def call(value: Callable[..., Any]) -> str:
    """Tell how something is called, without its types."""
    signature = inspect.signature(value)
    bare = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    text = str(inspect.Signature(bare)).replace("NOTHING", "{}")
    return f"`{value.__name__}{text}`"


def all_steps() -> list[type[Step]]:
    """Give the steps: those that open, then the others, in the order of the package."""
    found = [one for one in vars(peer).values() if isinstance(one, type) and issubclass(one, Step)]
    found.remove(Step)
    return sorted(found, key=lambda step: step.stage is not Stage.OPENING)


def steps() -> str:
    """Write the table of steps."""
    marks = {Stage.OPENING: "opening", Stage.OPEN: "", Stage.ANY: "any"}
    rows = ((call(one), marks[one.stage], first_line(one)) for one in all_steps())
    return table("| step | | what the peer does |", rows)


def all_strategies() -> list[Callable[..., Any]]:
    """Give the strategies, in the order of their file."""
    return [
        value
        for name, value in vars(strategies).items()
        if inspect.isfunction(value) and value.__module__ == strategies.__name__ and name[0] != "_"
    ]


def strategies_table() -> str:
    """Write the table of strategies."""
    rows = ((call(one), first_line(one).removeprefix("Draw ")) for one in all_strategies())
    return table("| strategy | draws |", rows)


def properties() -> str:
    """Write the table of properties."""
    rows = (
        (
            f"{one.subject}: `{one.name}`",
            one.statement,
            ", ".join(map(str, one.rows)),
            ", ".join(arm.value for arm in one.arms),
        )
        for one in all_properties()
    )
    return table("| property | states | rows | arms |", rows)


def mutants_table() -> str:
    """Write the table of mutants."""
    names = sorted(module.name for module in pkgutil.iter_modules(mutants.__path__))
    found = [importlib.import_module(f"{mutants.__name__}.{name}") for name in names]
    rows = ((" ".join((one.__doc__ or "").split()), f"`{one.CAUGHT_BY}`") for one in found)
    return table("| bug | caught by |", rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "steps": steps,
    "strategies": strategies_table,
    "properties": properties,
    "mutants": mutants_table,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_the_codes(name: str) -> None:
    """Each table is what is generated from the code."""
    found = marked(name).search(PAGE)
    assert found
    assert found[2] == TABLES[name]() + "\n", REGENERATE


@pytest.mark.parametrize(
    ("prefix", "owner"),
    [("network", SimulatedNetwork), ("link", Link), ("peer", ScriptedPeer)],
)
def test_the_members_told_of_exist(prefix: str, owner: type) -> None:
    """What the page calls on a network, a link or a peer is there."""
    names = set(re.findall(rf"\b{prefix}\.([a-z_]+)", REFERENCE)) - {"example"}
    made = {"connections", "dials"}  # attributes of instances
    assert names
    assert not {name for name in names - made if not hasattr(owner, name)}


def test_the_links_lead_somewhere() -> None:
    """Files and headings that the page links to exist."""
    headings = {
        heading.lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (PATH.parent / path).exists() if path else anchor in headings, target


def main() -> None:
    """Write the tables anew."""
    page = PAGE
    for name, build in TABLES.items():
        text = build()
        page = marked(name).sub(lambda found, text=text: f"{found[1]}{text}\n{found[3]}", page)  # type: ignore[misc]
    PATH.write_text(page)


if __name__ == "__main__":
    main()

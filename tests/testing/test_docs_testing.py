"""The page on testing tells the truth: its tutorial runs as written, its tables are the code's.

``python -m tests.testing.test_docs_testing`` writes the tables anew.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests import mutants
from trio_wsguard.testing import Link, SimulatedNetwork, peer, strategies
from trio_wsguard.testing.conformance import all_properties
from trio_wsguard.testing.peer import ScriptedPeer
from trio_wsguard.testing.peer.script import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]
PATH: Final = ROOT / "docs" / "testing.md"
PAGE: Final = PATH.read_text()
TUTORIAL, _, REFERENCE = PAGE.partition("\n# Reference\n")
REGENERATE: Final = "docs/testing.md is behind: python -m tests.testing.test_docs_testing"
COMMANDS: Final = {"pytest": "pytest", "trio-wsguard": "trio_wsguard"}
PATIENCE: Final = 300.0  # seconds; only a failing test ever waits so long
# What changes how pytest prints; a reader has none of them.
OF_A_CI: Final = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "FORCE_COLOR", "PY_COLORS", "NO_COLOR")


# --- the tutorial --------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: a file, a change of one, or a command with what it prints."""

    kind: str
    title: str
    body: str


class Act(NamedTuple):
    """A command of the tutorial, and all that a reader has done to files before it."""

    changes: tuple[Block, ...]
    command: str
    printed: str

    @property
    def fails(self) -> bool:
        """Whether the page says that something fails."""
        return bool(re.search(r"\bfailed\b|FAILED|Error: ", self.printed))


def blocks(page: str) -> Iterator[Block]:
    """Give the blocks of a page, in order."""
    for info, body in re.findall(r"^```([^\n]+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        title = re.search(r'title="(.*?)"', info)
        yield Block(info.split()[0], title[1] if title else "", body)


def acts() -> list[Act]:
    """Give the commands of the tutorial."""
    changes: list[Block] = []
    found: list[Act] = []
    for block in blocks(TUTORIAL):
        if block.kind == "console":
            command, _, printed = block.body.partition("\n")
            found.append(Act(tuple(changes), command.removeprefix("$ "), printed))
        elif block.title:
            changes.append(block)
    return found


def change(folder: Path, block: Block) -> None:
    """Write a file, or change one as a reader does who is shown a diff."""
    path = folder / block.title
    if block.kind != "diff":
        path.write_text(block.body)
        return
    lines = block.body.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{block.title} has no such lines:\n{before}"
    path.write_text(text.replace(before, after))


def run(folder: Path, command: str) -> tuple[int, str]:
    """Run a command in a folder as a reader does; gives its exit code, and what it printed."""
    program, *argv = shlex.split(command)
    env = {name: value for name, value in os.environ.items() if name not in OF_A_CI}
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", COMMANDS[program], *argv],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


def normal(line: str) -> str:
    """Take out of a line what differs each time: real seconds, and counts of a report."""
    if re.match(r" *\d+ properties ", line):
        return " ".join(re.sub(r"\d[\d,.]*(?! FAILED)", "N", line).split())
    return re.sub(r"\bin \d+\.\d\ds", "in N s", line).rstrip()


def pieces(printed: str) -> Iterator[list[str]]:
    """Cut what the page shows where it leaves something out."""
    for piece in re.split(r"^\.\.\.\n", printed, flags=re.MULTILINE):
        yield [normal(line) for line in piece.splitlines()]


def assert_shown(printed: str, out: str) -> None:
    """Check that what the page shows was printed, in its order, each piece without a gap."""
    lines = [normal(line) for line in out.splitlines()]
    at = 0
    for piece in pieces(printed):
        starts = range(at, len(lines) - len(piece) + 1)
        found = [start for start in starts if lines[start : start + len(piece)] == piece]
        assert found, "not printed:\n" + "\n".join(piece) + "\n\nbut:\n" + out
        at = found[0] + len(piece)


@pytest.mark.parametrize("act", acts(), ids=lambda act: act.command)
def test_the_tutorial_runs_as_written(act: Act, tmp_path: Path) -> None:
    """Each command of the tutorial prints what the page shows, and fails where it says so."""
    for block in act.changes:
        change(tmp_path, block)
    code, out = run(tmp_path, act.command)
    assert_shown(act.printed, out)
    assert code == int(act.fails), out


def test_the_client_is_small() -> None:
    """The client that the tutorial begins with has about thirty lines of code."""
    first = next(block for block in blocks(TUTORIAL) if block.title == "chat.py")
    assert sum(bool(line.strip()) for line in first.body.splitlines()) <= 30


# --- the reference -------------------------------------------------------------


def table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table."""
    rule = "|" + "---|" * (head.count("|") - 1)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, rule, *lines])


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


def marked(name: str) -> re.Pattern[str]:
    """Find the place of a table."""
    return re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


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

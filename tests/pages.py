"""Pages of the documentation whose files and commands are run, as a reader would run them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[1]
COMMANDS: Final = {
    "pytest": ["-m", "pytest"],
    "trio-wsguard": ["-m", "trio_wsguard"],
    "python": [],
}
PATIENCE: Final = 300.0  # seconds; only a failing test ever waits so long
# What changes how pytest prints; a reader has none of them.
OF_A_CI: Final = ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "FORCE_COLOR", "PY_COLORS", "NO_COLOR")


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


def acts(page: str) -> list[Act]:
    """Give the commands of a page."""
    changes: list[Block] = []
    found: list[Act] = []
    for block in blocks(page):
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
        [sys.executable, *COMMANDS[program], *argv],
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


def marked(name: str) -> re.Pattern[str]:
    """Find the place of a generated table."""
    return re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table."""
    rule = "|" + "---|" * (head.count("|") - 1)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, rule, *lines])


def assert_runs(act: Act, folder: Path) -> None:
    """Do what a page says: it prints what the page shows, and fails where the page does."""
    for block in act.changes:
        change(folder, block)
    code, out = run(folder, act.command)
    assert_shown(act.printed, out)
    assert code == int(act.fails), out


def table_rows(page: str, name: str) -> list[tuple[str, ...]]:
    """Read a table that is marked with a name: its rows, without the head."""
    found = re.search(rf"<!-- table: {name} -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert found, f"no table {name}"
    lines = found[1].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]

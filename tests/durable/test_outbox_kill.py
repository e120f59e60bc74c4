"""Whatever moment a sending process is killed at, nothing that was accepted is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING

import attrs
import pytest

from trio_wsguard._shell.outbox_file import open_file

from .outbox_child import SENDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 50
CHILD = Path(__file__).with_name("outbox_child.py")


@attrs.define
class Told:
    """What the senders told.

    Attributes:
        accepted: Keys of accepted messages, in the order they were told.
        deleting: Keys of messages that may be gone.
        pid: The process that lives, or lived last.
        opened: How many opened the file.
    """

    accepted: list[str] = attrs.field(factory=list)
    deleting: set[str] = attrs.field(factory=set)
    pid: int = 0
    opened: int = 0

    def hear(self, line: str) -> str:
        """Take a line in, and tell its first word."""
        word, _, rest = line.strip().partition(" ")
        if word == "pid":
            self.pid = int(rest)
        elif word == "open":
            self.opened += 1
        elif word == "accepted":
            self.accepted.append(rest)
        elif word == "deleting":
            self.deleting.add(rest)
        return word


@pytest.fixture
def forks() -> Iterator[tuple[IO[str], IO[str]]]:
    """The input and the output of what forks senders."""
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(  # noqa: S603 - our own code
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield child.stdin, child.stdout
        child.stdin.close()


def check(path: Path, told: Told) -> int:
    """Compare the file with what was told; tell how many messages are in it."""
    with closing(open_file(path, survives_power_loss=False)) as file:
        found = file.load()
    keys = [str(one.key) for one in found]
    assert set(told.accepted) - told.deleting <= set(keys)
    assert len(set(keys)) == len(keys)
    assert all(one.message == str(one.key) * (number(one.key) % 7) * 50 for one in found)
    for sender in range(SENDERS):
        mine = [key for key in keys if key.split(".")[1] == str(sender)]
        assert all(place(one) < place(other) for one, other in pairwise(mine))
    return len(keys)


def number(key: object) -> int:
    return int(str(key).split(".")[2])


def place(key: str) -> list[int]:
    return [int(part) for part in key.split(".")]


def test_killed_50_times(path: Path, forks: tuple[IO[str], IO[str]]) -> None:
    """After each of 50 kills at random moments, all accepted messages are there, in order.

    A moment is so many lines of the sender away from its beginning, from none on: it goes
    on sending while the signal is on its way. Most starts find the log of one that was
    killed, since only some files are looked at (and tidied up) in between.
    """
    rng = random.Random(50)
    told, kept = Told(), 0
    commands, lines = forks
    for run in range(KILLS):
        commands.write(f"{path} {run}\n")
        commands.flush()
        while told.hear(lines.readline()) != "pid":
            pass
        for _ in range(rng.choice([0, 1, 2, 5, 20, 100, 300])):
            told.hear(lines.readline())
        os.kill(told.pid, signal.SIGKILL)
        while told.hear(lines.readline()) != "ended":
            pass
        if run % 5 == 4:
            kept = check(path, told)
    assert told.opened > KILLS / 2
    assert len(told.accepted) > 20 * KILLS
    assert kept > len(told.accepted) / 2

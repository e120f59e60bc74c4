"""Messages of many members, taken in turn: a loud one cannot starve a quiet one.

Members with messages stand in a ring; whoever is at its head gives up to a
`quantum` of them and goes to the end. So a message waits for at most a quantum
of each other member, however many those have. Source: deficit round robin
(Shreedhar and Varghese, 1995) with messages for bytes, since what a message costs
its reader seldom depends on its size; then no deficit is left to carry over.

Messages stay in their members' own queues until they are taken. What bounds a
member is its own queue, so one that is full stops reading one connection and no
other, and there is no second queue behind it that all would share.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

import attrs

from trio_wsguard._core import checks

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Source(Protocol[Item_co]):
    """The queue of a member, oldest message first."""

    def __len__(self) -> int:
        """Tell how many it holds."""
        ...

    def pop(self) -> Item_co:
        """Take the oldest; there is one."""
        ...


@attrs.define(eq=False)
class _Member(Generic[Item]):
    name: str
    source: Source[Item]
    is_in_ring: bool = False
    taken: int = 0  # of the turn that it has
    is_gone: bool = False


@attrs.define(eq=False)
class Turns(Generic[Item]):
    """Whose message is next; O(1) for each, however many members there are.

    Args:
        quantum: Messages that a member may give in one turn.
    """

    quantum: int = attrs.field(default=1, validator=checks.count)
    _members: dict[str, _Member[Item]] = attrs.field(init=False, factory=dict)
    _ring: deque[_Member[Item]] = attrs.field(init=False, factory=deque)

    def add(self, name: str, source: Source[Item]) -> None:
        """Let a member take part; what its queue holds already counts.

        Raises:
            ValueError: There is one of this name.
        """
        if name in self._members:
            raise ValueError(f"there is a member named {name!r} already")
        self._members[name] = _Member(name, source)
        if len(source):
            self.ready(name)

    def remove(self, name: str) -> None:
        """Let a member take part no longer; what its queue holds stays there.

        Raises:
            KeyError: There is none of this name.
        """
        # Left in the ring, where it is passed over once: to take it out would be O(n).
        self._members.pop(name).is_gone = True

    def ready(self, name: str) -> None:
        """Note that something was put into a member's queue; as often as you like."""
        member = self._members[name]
        if not member.is_in_ring:
            member.is_in_ring = True
            self._ring.append(member)

    def take(self) -> tuple[str, Item] | None:
        """Take the next message, with its member's name; ``None`` if there is none.

        A member whose queue someone else has emptied is passed over.
        """
        while self._ring:
            member = self._ring[0]
            if member.is_gone or not len(member.source):
                self._leave(member)
                continue
            item = member.source.pop()
            member.taken += 1
            if not len(member.source):
                self._leave(member)
            elif member.taken >= self.quantum:
                member.taken = 0
                self._ring.rotate(-1)
            return member.name, item
        return None

    def _leave(self, member: _Member[Item]) -> None:
        self._ring.popleft()
        member.is_in_ring, member.taken = False, 0

    def take_all(self, limit: int) -> list[tuple[str, Item]]:
        """Take what is there, up to a limit, in the order of single takes."""
        batch: list[tuple[str, Item]] = []
        while len(batch) < limit and (taken := self.take()) is not None:
            batch.append(taken)
        return batch

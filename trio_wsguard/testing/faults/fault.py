"""What all faults have in common: where they sit, when they begin and end."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults import settings

if TYPE_CHECKING:
    from random import Random

    from trio_wsguard.testing.connection import Dialing, SimulatedConnection
    from trio_wsguard.testing.flow import Flow
    from trio_wsguard.testing.segment import Effect


class Direction(enum.Enum):
    """Which way bytes go."""

    UP = "up"
    """From the client to the server."""
    DOWN = "down"
    """From the server to the client."""
    BOTH = "both"

    def includes(self, other: Direction) -> bool:
        """Whether a fault in this direction concerns a flow in the other."""
        return self in (other, Direction.BOTH)


is_direction: Final = checks.instance_of(Direction)


@attrs.frozen
class Way:
    """One direction of one connection that meets a fault.

    Attributes:
        connection: The connection.
        direction: `Direction.UP` or `Direction.DOWN`.
        rng: Where chance is drawn from; of this fault and this way alone.
    """

    connection: SimulatedConnection
    direction: Direction
    rng: Random

    @property
    def flow(self) -> Flow:
        """The flow of this direction."""
        return self.connection.flow(self.direction)


@attrs.frozen(kw_only=True, repr=False)
class Fault:
    """A rule on a link: settings only, so that one fault can sit on many links.

    A subclass overrides what it needs of `meet_dial`, `meet_connection` and
    `effect`.

    Args:
        start: When it begins, in seconds after it was added to the link.
        end: When it ends, likewise; ``inf`` for never.
    """

    start: float = attrs.field(default=0.0, validator=checks.not_negative)
    end: float = attrs.field(default=float("inf"), validator=settings.moment)

    def __attrs_post_init__(self) -> None:
        if not self.end > self.start:
            raise PolicyError("end", self.end, f"must be after the start at {self.start}")

    def meet_dial(self, dialing: Dialing) -> None:
        """Change what a dial meets while the fault lasts."""

    def meet_connection(self, connection: SimulatedConnection) -> None:
        """Act on a connection once: on those open when it begins, and on each new one."""

    def effect(self, way: Way) -> Effect | None:
        """Tell what it does to one direction of a connection; ``None`` for nothing.

        Args:
            way: The connection and the direction; each is asked about once.
        """

    def __repr__(self) -> str:
        """Show only what differs from the defaults, and when it happens last."""
        common = attrs.fields_dict(Fault)
        fields = [field for field in attrs.fields(type(self)) if field.repr]
        fields.sort(key=lambda field: field.name in common)
        shown: list[str] = []
        for field in fields:
            value: Any = getattr(self, field.name)
            if value != field.default:
                text = f"Direction.{value.name}" if isinstance(value, Direction) else repr(value)
                shown.append(f"{field.name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

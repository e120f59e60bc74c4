"""What a script is: steps, one after another.

A step is frozen data that knows how to play itself on a `Conversation`. Its
repr is the call that makes it, defaults left out, so that an example which
Hypothesis has shrunk reads like a sentence::

    Script(Accept(), Push('a', 'b'), Wait(3), Close(1012, 'restart'))

`Wait`, `Silence`, `StopReading`, `SendRaw`, `Drop` and `Reset` may stand
before the request is answered, too: ``Script(Silence())`` never answers it,
``Script(SendRaw(b'SSH-2.0-x'), Silence())`` answers garbage and holds the
stream open, ``Script(Reject(503), Silence())`` holds it after a refusal.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from trio_wsguard.testing.peer.conversation import Conversation

_MAX_SHOWN: Final = 60


class Stage(enum.Enum):
    """Where in a script a step may stand."""

    OPENING = "opening"
    """It answers the handshake's request: once, before all talk."""
    OPEN = "open"
    """It needs a connection that was accepted."""
    ANY = "any"


@attrs.frozen(repr=False)
class Step:
    """One step of a script. Derive from it for a step of your own.

    Attributes:
        stage: Where it may stand.
        is_accepting: Whether the connection is open after it.
    """

    stage: ClassVar[Stage] = Stage.OPEN
    is_accepting: ClassVar[bool] = False

    @property
    def is_last(self) -> bool:
        """Whether no step after it is ever reached."""
        return False

    async def play(self, conversation: Conversation) -> None:
        """Do it; beats and close frames are answered meanwhile."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Show the call that makes it, defaults left out."""
        shown: list[str] = []
        is_positional = True
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if field.metadata.get(VARIADIC):
                shown += map(_show, value)
                is_positional = False
            elif value == _default(field):
                is_positional = False
            elif is_positional and not field.kw_only:
                shown.append(_show(value))
            else:
                shown.append(f"{field.name}={_show(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


VARIADIC: Final = "variadic"
"""The metadata key of a field that is given as ``*args``."""


def _default(field: attrs.Attribute[Any]) -> object:
    default: Any = field.default
    return default.factory() if hasattr(default, "factory") else default


def _show(value: object) -> str:
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, str | bytes) and len(value) > _MAX_SHOWN:
        return f"{value[:_MAX_SHOWN]!r}...<{len(value)} in all>"
    return repr(value)


@attrs.frozen(init=False, repr=False)
class Script:
    """How the peer behaves on one connection: steps, one after another.

    The peer has read the handshake's request before the first step. While a
    step waits it goes on reading, and answers pings, message beats and close
    frames, unless a step says otherwise. Once the steps are over, a peer that
    has accepted goes on like that until the client ends; one that has not
    drops the connection.

    Args:
        steps: What to do.

    Raises:
        PolicyError: It is no script: a step that is none, talk before
            `Accept`, a second answer to the request, a step that is never
            reached.
    """

    steps: tuple[Step, ...]

    def __init__(self, *steps: Step) -> None:
        _check(steps)
        self.__attrs_init__(steps)  # pyright: ignore[reportAttributeAccessIssue]  # attrs makes it

    def __repr__(self) -> str:
        return f"Script({', '.join(map(repr, self.steps))})"


def _check(steps: tuple[Step, ...]) -> None:
    if not steps:
        raise PolicyError("steps", steps, "a script needs a step")
    answered_by: Step | None = None
    last: Step | None = None
    for step in steps:
        if not isinstance(step, Step):
            raise PolicyError("steps", step, "is no step")
        if last is not None:
            raise PolicyError("steps", step, f"is never reached: {last} comes before it")
        if step.stage is Stage.OPENING:
            if answered_by is not None:
                raise PolicyError("steps", step, f"the request was answered by {answered_by}")
            answered_by = step
        elif step.stage is Stage.OPEN and not (answered_by and answered_by.is_accepting):
            raise PolicyError("steps", step, "needs an Accept() before it")
        if step.is_last:
            last = step

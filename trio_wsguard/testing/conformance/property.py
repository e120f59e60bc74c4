"""What a property is, and where it is tried.

A property is a function that draws examples and states what must hold of
them; the first line of its docstring is the statement. One body serves both
arms and every part, the library's own and the user's::

    @property_of("backoff", rows=(13,))
    def delay_within_cap(run: Run) -> None:
        \"\"\"A delay is a finite number from 0 to the cap.\"\"\"

        def check(backoff: Backoff, failures: int) -> None:
            expect(0 <= backoff.delay(failures) <= backoff.cap, "...")

        backoffs = st.sampled_from(run.parts.backoffs)
        run.for_all({"backoff": backoffs, "failures": st.integers(0, 100)}, check)
"""

from __future__ import annotations

import enum
import inspect
from typing import TYPE_CHECKING, Final, Literal, get_args

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_wsguard.testing.conformance.run import Run

Subject = Literal["backoff", "heartbeat", "transport", "guard"]
SUBJECTS: Final[tuple[Subject, ...]] = get_args(Subject)


class Arm(enum.Enum):
    """Where a property is tried.

    Attributes:
        SIMULATED: In memory and in virtual time.
        LOOPBACK: On real sockets of this machine, in real time.
    """

    SIMULATED = "simulated"
    LOOPBACK = "loopback"


class Profile(enum.Enum):
    """How many examples are tried."""

    QUICK = "quick"
    THOROUGH = "thorough"

    @property
    def max_examples(self) -> int:
        """Examples of a property that asks for no other share."""
        return 100 if self is Profile.QUICK else 2000


@attrs.frozen(kw_only=True)
class Property:
    """Something that must hold of a part.

    Attributes:
        name: Unique among all properties.
        statement: What holds, in a sentence.
        subject: What it is a property of.
        rows: The rows of the project's table of forty properties that it proves.
        arms: Where it can be tried.
        body: Tries it; raises if it does not hold.
    """

    name: str
    statement: str
    subject: Subject
    rows: tuple[int, ...] = ()
    arms: tuple[Arm, ...] = (Arm.SIMULATED,)
    body: Callable[[Run], None] = attrs.field(repr=False)


def property_of(
    subject: Subject, *, rows: Iterable[int] = (), arms: Iterable[Arm] = (Arm.SIMULATED,)
) -> Callable[[Callable[[Run], None]], Property]:
    """Make a function a property of a subject; it registers nothing.

    Args:
        subject: What it is a property of.
        rows: The rows of the project's table that it proves.
        arms: Where it can be tried.
    """

    def decorate(body: Callable[[Run], None]) -> Property:
        statement = inspect.cleandoc(body.__doc__ or "").partition("\n")[0]
        if not statement:
            raise ValueError(f"the property {body.__name__} has no docstring that states it")
        return Property(
            name=body.__name__,
            statement=statement,
            subject=subject,
            rows=tuple(rows),
            arms=tuple(arms),
            body=body,
        )

    return decorate

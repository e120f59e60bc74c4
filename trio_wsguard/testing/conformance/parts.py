"""The parts under test: the library's own, or the user's."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs

import trio_wsguard as wsguard
from trio_wsguard._shell.transports import find_transport
from trio_wsguard.testing.conformance.property import SUBJECTS, Subject
from trio_wsguard.testing.peer.beats import beat_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from trio_wsguard._core.backoff import Jitter
    from trio_wsguard._shell.heartbeats import Heartbeat
    from trio_wsguard._shell.transport import TransportFactory
    from trio_wsguard.testing.peer.beats import BeatAnswer

    OpenGuard = Callable[..., AbstractAsyncContextManager[wsguard.GuardedWebSocket]]

_HEARTBEATS: Final = (wsguard.PingHeartbeat, wsguard.MessageHeartbeat)
_NO_HEARTBEAT: Final = "is not a heartbeat: it has no request and read"
_NO_BACKOFF: Final = "is not a backoff: it has no delay and cap"
JITTERS: Final[tuple[Jitter, ...]] = ("full", "equal", "decorrelated")


class PartError(ValueError):
    """What was named is not a part that can be tested.

    Attributes:
        value: What was given.
        problem: What is wrong with it.
        option: Which part it was to be, where it was asked for by name.
    """

    def __init__(self, value: object, problem: str, option: str = "") -> None:
        super().__init__(value, problem, option)
        self.value = value
        self.problem = problem
        self.option = option

    def __str__(self) -> str:
        return f"{self.value!r}: {self.problem}"


@attrs.frozen
class HeartbeatPart:
    """A heartbeat under test.

    Attributes:
        make: Makes one, with no state left of another.
        answer: What a peer answers its beats with; ``None`` if not known, and
            then what concerns answers is not tested.
        name: What to call it in a report.
    """

    make: Callable[[], Heartbeat]
    answer: BeatAnswer | None = None
    name: str = ""

    def __repr__(self) -> str:
        return self.name or getattr(self.make, "__qualname__", None) or repr(self.make)


@attrs.frozen
class TransportPart:
    """A transport under test.

    Attributes:
        open: The `TransportFactory`.
        name: What to call it in a report.
    """

    open: TransportFactory
    name: str = ""

    def __repr__(self) -> str:
        return self.name or getattr(self.open, "__qualname__", None) or repr(self.open)


def _shipped_backoffs() -> list[wsguard.Backoff]:
    plain: list[wsguard.Backoff] = [
        wsguard.LinearBackoff(step=3, cap=15),
        wsguard.LinearBackoff(step=0.1, cap=7),
        wsguard.ExponentialBackoff(),
        wsguard.ExponentialBackoff(initial=1, factor=1.6, cap=120, immediate=True),
        wsguard.ExponentialBackoff(initial=2, factor=1, cap=60),
    ]
    return plain + [wsguard.JitteredBackoff(one, jitter) for one in plain for jitter in JITTERS]


def _shipped_policies() -> tuple[wsguard.BackoffPolicy, ...]:
    ready_made = (wsguard.GuardPolicy.low_latency(), wsguard.GuardPolicy.fleet())
    return (wsguard.BackoffPolicy(), *(policy.backoff for policy in ready_made))


def _shipped_heartbeats() -> tuple[HeartbeatPart, ...]:
    in_bytes = partial(wsguard.TextHeartbeat, beat=b"\x09", answer=b"\x0a")
    return (
        _heartbeat_part(wsguard.PingHeartbeat),
        _heartbeat_part(wsguard.TextHeartbeat),
        _heartbeat_part(in_bytes, name="TextHeartbeat in bytes"),
        _heartbeat_part(wsguard.JsonHeartbeat),
        _heartbeat_part(wsguard.LwpHeartbeat),
    )


def _shipped_transports() -> tuple[TransportPart, ...]:
    found = [_transport_part("trio-websocket")]
    with suppress(PartError):  # the extra is not installed
        found.append(_transport_part("websockets"))
    return tuple(found)


def _backoffs_of(policies: Iterable[wsguard.BackoffPolicy]) -> list[wsguard.Backoff]:
    return [one for policy in policies for one in (policy.closed, policy.network, policy.other)]


def _unique(backoffs: Iterable[wsguard.Backoff]) -> tuple[wsguard.Backoff, ...]:
    found: list[wsguard.Backoff] = []
    for backoff in backoffs:
        if backoff not in found:  # they need not be hashable
            found.append(backoff)
    return tuple(found)


@attrs.frozen(kw_only=True)
class Parts:
    """The parts under test; by default the library's own.

    Attributes:
        policies: Which backoff follows which failure.
        backoffs: Each of them, and every one that is shipped.
        heartbeats: What a beat says.
        transport: As for `open_guarded_websocket`; what a guard is tried with.
        transports: What is tested by itself: that one, or every one that is shipped.
        open_guard: `open_guarded_websocket`, or what stands for it.
        subjects: What is tested.
    """

    policies: tuple[wsguard.BackoffPolicy, ...] = attrs.field(factory=_shipped_policies)
    backoffs: tuple[wsguard.Backoff, ...] = attrs.field(
        default=attrs.Factory(
            lambda self: _unique([*_backoffs_of(self.policies), *_shipped_backoffs()]),
            takes_self=True,
        )
    )
    heartbeats: tuple[HeartbeatPart, ...] = attrs.field(factory=_shipped_heartbeats)
    transport: str | TransportFactory = "trio-websocket"
    transports: tuple[TransportPart, ...] = attrs.field(factory=_shipped_transports)
    open_guard: OpenGuard = wsguard.open_guarded_websocket
    subjects: tuple[Subject, ...] = SUBJECTS

    @classmethod
    def of(
        cls,
        *,
        backoff: object = None,
        heartbeat: object = None,
        answer: BeatAnswer | None = None,
        transport: object = None,
        open_guard: object = None,
    ) -> Parts:
        """Take parts of the user's; where any is given, only those are tested.

        Args:
            backoff: A `Backoff`, a `BackoffPolicy`, or what makes one.
            heartbeat: What makes a heartbeat, or a heartbeat.
            answer: What a peer answers a beat with; need not be told for the
                library's own heartbeats.
            transport: A `TransportFactory`, or the name of a shipped one.
            open_guard: What stands for `open_guarded_websocket`.

        Raises:
            PartError: One of them is not what it ought to be.
        """
        given: dict[str, Any] = {}
        subjects: list[Subject] = []
        if backoff is not None:
            given |= _backoff_parts(backoff)
            subjects.append("backoff")
        if heartbeat is not None:
            given["heartbeats"] = (_heartbeat_part(heartbeat, answer),)
            subjects.append("heartbeat")
        if transport is not None:
            part = _transport_part(transport)
            given |= {"transport": transport, "transports": (part,)}
            subjects.extend(("transport", "guard"))  # by itself, and with a guard on it
        if open_guard is not None:
            if not callable(open_guard):
                raise PartError(open_guard, "cannot be called")
            given["open_guard"] = open_guard
            subjects.append("guard")
        return cls(**given, subjects=tuple(dict.fromkeys(subjects)) or SUBJECTS)


def _backoff_parts(backoff: object) -> dict[str, Any]:
    # A class has the attributes of its instances: it is made one before it is judged.
    if isinstance(backoff, type) or not isinstance(
        backoff, wsguard.Backoff | wsguard.BackoffPolicy
    ):
        backoff = _made(backoff, _NO_BACKOFF)
    if isinstance(backoff, wsguard.BackoffPolicy):
        return {"policies": (backoff,), "backoffs": _unique(_backoffs_of([backoff]))}
    if not isinstance(backoff, wsguard.Backoff):
        raise PartError(backoff, _NO_BACKOFF)
    policy = wsguard.BackoffPolicy(closed=backoff, network=backoff, other=backoff)
    return {"policies": (policy,), "backoffs": (backoff,)}


def _heartbeat_part(
    heartbeat: object, answer: BeatAnswer | None = None, name: str = ""
) -> HeartbeatPart:
    if isinstance(heartbeat, _HEARTBEATS) and not isinstance(heartbeat, type):
        one: Any = heartbeat
        return HeartbeatPart(lambda: one, answer or _known_answer(one), name or repr(one))
    made = _made(heartbeat, _NO_HEARTBEAT)
    if not isinstance(made, _HEARTBEATS):
        raise PartError(made, _NO_HEARTBEAT)
    make: Any = heartbeat
    return HeartbeatPart(make, answer or _known_answer(made), name)


def _transport_part(transport: object) -> TransportPart:
    given: Any = transport
    if not isinstance(transport, str) and not callable(transport):
        raise PartError(transport, "is not a transport factory: it cannot be called")
    try:
        factory = find_transport(given)
    except wsguard.PolicyError as exc:
        raise PartError(transport, exc.problem) from exc
    return TransportPart(factory, transport if isinstance(transport, str) else "")


def _known_answer(heartbeat: object) -> BeatAnswer | None:
    # Not of subclasses, which may well beat otherwise.
    is_ours = type(heartbeat) in (
        wsguard.TextHeartbeat,
        wsguard.JsonHeartbeat,
        wsguard.LwpHeartbeat,
    )
    return beat_answer(heartbeat) if is_ours else None


def _made(factory: object, otherwise: str) -> object:
    if not callable(factory):
        raise PartError(factory, otherwise)
    try:
        return factory()
    except Exception as exc:  # it is the user's code
        raise PartError(factory, f"calling it failed: {type(exc).__name__}: {exc}") from exc


def load(name: str, folder: str) -> object:
    """Import what a name like ``package.module:attribute`` stands for.

    Args:
        name: The name.
        folder: Where to look besides the usual places: the user's own.

    Raises:
        PartError: There is no such module or attribute.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise PartError(name, "must be written as package.module:attribute")
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as exc:  # importing runs the user's code
        raise PartError(name, f"cannot import: {type(exc).__name__}: {exc}") from exc
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise PartError(name, f"{module_name} has no attribute {path}") from None
    return found


def named_parts(names: Mapping[str, str | None], folder: str) -> Parts:
    """Take the parts that options name; the library's own where none does.

    Args:
        names: ``package.module:attribute``, or the name of a shipped transport,
            for ``"backoff"``, ``"heartbeat"`` and ``"transport"``.
        folder: Where to look besides the usual places.

    Raises:
        PartError: One names no such part; `.option` tells which, and `.value` is
            as it was typed.
    """
    given: dict[str, Any] = {}
    for option, name in names.items():
        if name is None:
            continue
        is_shipped = option == "transport" and ":" not in name
        try:
            given[option] = name if is_shipped else load(name, folder)
            Parts.of(**{option: given[option]})
        except PartError as exc:
            raise PartError(name, exc.problem, option) from exc
    return Parts.of(**given)

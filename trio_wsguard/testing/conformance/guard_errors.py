"""What must hold of errors: ours where they are ours, the user's own as they are, no one else's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_messages import share_of
from trio_wsguard.testing.conformance.guard_states import Wish, grant, span, wishes, worlds
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import Drop, Script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState
_BOTH: Final = (Arm.SIMULATED, Arm.LOOPBACK)


# --- of calls --------------------------------------------------------------------


async def _listen(ws: wsguard.GuardedWebSocket) -> None:
    async with ws.events() as events:
        await anext(events)


async def _send_on(ws: wsguard.GuardedWebSocket) -> None:
    # Where peers act and faults begin, at quarters of seconds, a send is under way.
    for _ in range(100):
        with suppress(wsguard.ConnectionLostError):
            await ws.send_message("x" * 2**17)
        await trio.sleep(0.25)


_CALLS: Final[dict[str, Callable[[wsguard.GuardedWebSocket], Awaitable[object]]]] = {
    "get_message": lambda ws: ws.get_message(),
    "get_messages": lambda ws: ws.get_messages(),
    "anext": lambda ws: anext(ws),
    "send_message": lambda ws: ws.send_message("x"),
    "a long send_message": lambda ws: ws.send_message("x" * 2**19),
    "sends": _send_on,
    "wait_connected": lambda ws: ws.wait_connected(),
    "wait_state": lambda ws: ws.wait_state(_S.FAILED),
    "events": _listen,
    "aclose": lambda ws: ws.aclose(),
}
_OURS: Final = (
    wsguard.ConnectionLostError,
    wsguard.ConnectionClosedError,
    wsguard.GuardFailedError,
    wsguard.IllegalTransitionError,
    trio.ClosedResourceError,
    StopAsyncIteration,
)


@attrs.frozen
class Call:
    """A call of a guard.

    Attributes:
        at: When, in seconds after it was opened.
        name: Which.
    """

    at: float
    name: str


@property_of("guard", rows=(22,), arms=_BOTH)
def only_our_errors_come_out(run: Run) -> None:
    """Every call ends once the guard does, and raises our own errors only, none in a group."""

    async def check(world: World, calls: list[Call], asked: list[Wish], limit: int | None) -> None:
        problems: list[str] = []
        policy = policy_for(run, max_connection_failures=limit)
        async with open_life(run, world, policy) as life, trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            for call in (Call(0.0, "sends"), *calls):
                nursery.start_soon(_make, life, call, scope, problems)
            nursery.start_soon(_grant, life, asked)
            await trio.sleep(span(run, 180))
            await life.ws.aclose()
            scope.deadline = trio.current_time() + 5
        expect(not scope.cancelled_caught, "a call goes on after the end")
        expect(not problems, "; ".join(problems))

    times = strategies.seconds(0, 60)
    if run.arm is Arm.LOOPBACK:
        times = times.map(lambda at: at / 1200)
    calls = st.builds(Call, times, st.sampled_from(sorted(_CALLS)))
    run.for_all(
        {
            "world": worlds(run),
            "calls": st.lists(calls, min_size=1, max_size=6),
            "asked": wishes(run),
            "limit": st.none() | st.integers(1, 3),
        },
        check,
        share=share_of(run, 0.4),
    )


async def _make(life: Life, call: Call, scope: trio.CancelScope, problems: list[str]) -> None:
    await trio.sleep(call.at)
    try:
        await _CALLS[call.name](life.ws)
    except _OURS:
        pass
    except trio.Cancelled:
        if scope.cancel_called:
            raise
        problems.append(f"{call.name}: Cancelled, and nobody cancelled it")
    except BaseException as exc:  # noqa: BLE001 - that is the question
        problems.append(f"{call.name}: {type(exc).__name__}: {exc}")


async def _grant(life: Life, asked: list[Wish]) -> None:
    with suppress(trio.ClosedResourceError):  # it ended before all was asked for
        await grant(life, asked)


# --- of the user -----------------------------------------------------------------


@property_of("guard", rows=(23,), arms=_BOTH)
def no_fault_cancels_the_user(run: Run) -> None:
    """Whatever happens to connections, tasks of the user's in and around the block live on."""

    async def check(world: World, asked: list[Wish]) -> None:
        cancelled: list[str] = []
        async with trio.open_nursery() as around:
            around.start_soon(_sibling, "around the block", around.cancel_scope, cancelled)
            async with open_life(run, world) as life, trio.open_nursery() as within:
                within.start_soon(_sibling, "in the block", within.cancel_scope, cancelled)
                within.start_soon(life.consume)
                await grant(life, asked)
                await trio.sleep(span(run, 120))
                within.cancel_scope.cancel()
            around.cancel_scope.cancel()
        expect(not cancelled, f"a task was cancelled: {', '.join(cancelled)}")

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=share_of(run, 0.4))


async def _sibling(where: str, scope: trio.CancelScope, cancelled: list[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        if not scope.cancel_called:
            cancelled.append(where)


@property_of("guard", rows=(23,), arms=_BOTH)
def the_users_error_comes_out_as_it_is(run: Run) -> None:
    """An error of the block, or of a task of `start_soon`, leaves the block as itself."""

    async def check(world: World, like: Exception, at: float, where: str) -> None:
        error = _another(like)
        raised: list[Exception] = []

        async def fail() -> None:
            await trio.sleep(at)
            raised.append(error)
            raise error

        async def on_connect(connection: wsguard.Connection) -> None:
            if where == "a task":
                connection.start_soon(fail)

        came: Exception | None = None
        async with open_stage(run, world) as stage:
            try:
                async with stage.open(on_connect=on_connect, wait=False) as ws:
                    stage.guards.append(ws)
                    if where == "the block":
                        await fail()
                    await trio.sleep(span(run, 300))
            except Exception as exc:  # noqa: BLE001 - that is the question
                came = exc
            stage.expect_clean()
        is_kept = where == "a task" and isinstance(error, wsguard.FatalError)
        due = None if is_kept or not raised else error
        expect(_is_same(came, due), f"{raised} was raised, {came!r} came out")

    run.for_all(
        {
            "world": worlds(run),
            "like": strategies.exceptions(),
            "at": strategies.seconds(0, span(run, 60)),
            "where": st.sampled_from(["the block", "a task"]),
        },
        check,
        share=share_of(run, 0.4),
    )


def _is_same(came: BaseException | None, due: BaseException | None) -> bool:
    """Tell whether an error is one, or a group of the same ones: trio rebuilds groups."""
    if isinstance(came, BaseExceptionGroup) and isinstance(due, BaseExceptionGroup):
        pairs = zip(came.exceptions, due.exceptions, strict=False)
        is_alike = (came.message, len(came.exceptions)) == (due.message, len(due.exceptions))
        return is_alike and all(_is_same(mine, yours) for mine, yours in pairs)
    return came is due


def _another(error: Exception) -> Exception:
    # A drawn one is raised in many examples, and would gather tracebacks.
    return type(error)(*error.args)


@property_of("guard", rows=(22,), arms=_BOTH)
def errors_of_callables_are_failed_attempts(run: Run) -> None:
    """What `url`, `headers` or `on_connect` raise fails the attempt; `FatalError` the guard."""

    async def check(where: str, like: Exception, count: int, is_async: bool) -> None:
        error = _another(like)
        async with open_stage(run, World()) as stage:
            value: object = {"url": stage.url, "headers": {"x": "y"}}.get(where)
            call = _failing(error, count, value, is_async=is_async or where == "on_connect")
            async with stage.open(**{where: call, "wait": False}) as ws:
                came = await _connected(ws)
                attempts = ws.snapshot().attempts
        if isinstance(error, wsguard.FatalError):
            expect(came is not None, "a FatalError, and the guard went on")
            expect(attempts == 1, f"a FatalError, and {attempts} attempts")
            expect(came is not None and error in _causes(came), f"{came!r} does not tell of it")
        else:
            expect(came is None, f"{error!r} made the guard fail: {came}")
            expect(attempts == count + 1, f"{count} errors, and {attempts} attempts")

    run.for_all(
        {
            "where": st.sampled_from(["url", "headers", "on_connect"]),
            "like": strategies.exceptions(),
            "count": st.integers(1, 3),
            "is_async": st.booleans(),
        },
        check,
        share=share_of(run, 0.5),
    )


def _failing(
    error: Exception, count: int, value: object, *, is_async: bool
) -> Callable[[object], Any]:
    left = count

    def answer(_: object) -> object:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return value

    async def answer_later(about: object) -> object:
        await trio.lowlevel.checkpoint()
        return answer(about)

    return answer_later if is_async else answer


async def _connected(ws: wsguard.GuardedWebSocket) -> wsguard.GuardFailedError | None:
    try:
        await ws.wait_connected()
    except wsguard.GuardFailedError as exc:
        return exc
    return None


def _causes(failed: wsguard.GuardFailedError) -> list[BaseException | None]:
    """Tell the original errors of what was tried."""
    group = failed.__cause__
    expect(isinstance(group, ExceptionGroup), f"its cause is {group!r}")
    return [one.__cause__ for one in getattr(group, "exceptions", ())]


def _failures(came: BaseException | None) -> int:
    if isinstance(came, wsguard.GuardFailedError):
        expect(len(came.failures) == len(_causes(came)), "not each failure has its error")
        return len(came.failures)
    raise AssertionError(f"{came!r} came out") from came


@property_of("guard", rows=(19, 20, 22), arms=_BOTH)
def entering_a_hopeless_guard_fails(run: Run) -> None:
    """With `wait=True`, entering raises `GuardFailedError` once FAILED, and leaves nothing open."""

    async def check(script: Script, limit: int) -> None:
        policy = policy_for(run, max_connection_failures=limit)
        came: BaseException | None = None
        async with open_stage(run, World(scripts=(script,))) as stage:
            try:
                async with stage.open(policy=policy, wait=True):
                    pass
            except Exception as exc:  # noqa: BLE001 - that is the question
                came = exc
            stage.expect_clean()
        told = _failures(came)
        expect(told == limit, f"it told {told} failures, and allows {limit}")

    scripts = strategies.refusals()
    if run.arm is Arm.LOOPBACK:
        scripts = st.sampled_from([Script(Drop())])
    run.for_all({"script": scripts, "limit": st.integers(1, 5)}, check, share=share_of(run, 0.3))

"""Trying a property on many examples.

Hypothesis draws and shrinks the examples. It is asked not to report: what it
found is told by `PropertyViolatedError`, the same in pytest, on the command
line and out of `check_backoff`.
"""

from __future__ import annotations

import inspect
import re
import secrets
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import hypothesis
import hypothesis.core
import hypothesis.errors
import trio
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from trio_wsguard.testing.conformance.property import Arm, Profile
from trio_wsguard.testing.conformance.steps import in_time
from trio_wsguard.testing.conformance.violation import PropertyViolatedError
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from hypothesis.strategies import SearchStrategy

    from trio_wsguard.testing.conformance.parts import Parts
    from trio_wsguard.testing.conformance.property import Property

_LOOPBACK_TIMEOUT: Final = 60.0  # seconds of one example; only one that hangs takes so long
_MAX_SHOWN: Final = 300  # characters of one value of an example

# A check may be slow, large, or called from a test of the user's own. That nearly
# everything is filtered out remains an error: such a property states nothing.
_SUPPRESSED: Final = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
    HealthCheck.nested_given,
    HealthCheck.function_scoped_fixture,
    HealthCheck.differing_executors,
)


class NotApplicableError(Exception):
    """A property says nothing about the part under test."""


def default_seed() -> int | str:
    """Tell the seed of ``pytest --hypothesis-seed``, or draw one."""
    forced: int | str | None = getattr(hypothesis.core, "global_force_seed", None)
    # Not of `random`: within a test of Hypothesis that is the same in every example.
    return secrets.randbits(32) if forced is None else forced


@attrs.define(kw_only=True)
class Run:
    """What a property is given to try: the parts, and how.

    Attributes:
        property: What is tried.
        parts: The parts under test.
        arm: Where.
        profile: How many examples.
        seed: Chooses the examples; the same seed chooses the same ones.
        examples: How many were tried until now.
        faults: How many faults were injected.
        virtual_seconds: How much time was simulated.
    """

    property: Property
    parts: Parts
    arm: Arm = Arm.SIMULATED
    profile: Profile = Profile.QUICK
    seed: int | str = attrs.field(factory=default_seed)
    examples: int = 0
    faults: int = 0
    virtual_seconds: float = 0.0

    def for_all(
        self,
        strategy: SearchStrategy[Any] | Mapping[str, SearchStrategy[Any]],
        check: Callable[..., Any],
        *,
        share: float = 1.0,
    ) -> None:
        """Try a check on many examples.

        Args:
            strategy: Where examples come from; or one strategy for each of
                the check's arguments, by name, which reads better in a report.
            check: Called with an example. It may be async: then it runs in a
                trio run of its own, in virtual time on the simulated arm; there
                the schedule is drawn, too. It may raise anything but must not
                draw further (`strategies.data`) if it is async.
            share: How many examples, as a share of the profile's.

        Raises:
            PropertyViolatedError: An example failed; told of the smallest.
        """
        __tracebackhide__ = True
        examples: SearchStrategy[Any] = (
            st.fixed_dictionaries(dict(strategy)) if isinstance(strategy, Mapping) else strategy
        )
        is_named = isinstance(strategy, Mapping)
        is_simulated = inspect.iscoroutinefunction(check) and self.arm is Arm.SIMULATED
        trial = _Trial(self, check, is_named=is_named, is_simulated=is_simulated)

        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=max(1, round(self.profile.max_examples * share)),
            deadline=None,
            database=None,
            derandomize=False,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=_SUPPRESSED,
        )
        @hypothesis.given(
            box=examples.map(_Box), schedule=st.integers(0, 2**16) if is_simulated else st.just(0)
        )
        def holds(box: _Box, schedule: int) -> None:
            trial.attempt(box.example, schedule)

        try:
            holds()
        except Exception as exc:
            if trial.failure is None:  # Hypothesis itself complains: a mistake in the property
                raise
            is_flaky = isinstance(exc, hypothesis.errors.Flaky)
            raise trial.violation(trial.failure, is_flaky=is_flaky) from trial.failure

    def count(self, *, faults: int = 0, virtual_seconds: float = 0.0) -> None:
        """Add to the figures of the report.

        Args:
            faults: How many were injected.
            virtual_seconds: How many were simulated; those of async checks
                are counted without this.
        """
        self.faults += faults
        self.virtual_seconds += virtual_seconds

    def skip(self, reason: str) -> NoReturn:
        """End the property: it says nothing about the parts under test."""
        raise NotApplicableError(reason)

    def violation(
        self, observed: str, *, example: str = "", is_flaky: bool = False
    ) -> PropertyViolatedError:
        """Make the error that says that the property does not hold."""
        return PropertyViolatedError(
            self.property.name,
            self.property.statement,
            self.arm.value,
            example,
            observed,
            self.examples,
            self.seed,
            is_flaky,
        )


class _Box:
    """Keeps Hypothesis from writing out an example, which may have a megabyte."""

    def __init__(self, example: Any) -> None:
        self.example = example

    def __repr__(self) -> str:
        return "example"


class _Trial:
    """One check on many examples; remembers how it failed last.

    Hypothesis tries the smallest failing example once more at its end, so the
    last failure is the one to show.
    """

    def __init__(
        self, run: Run, check: Callable[..., Any], *, is_named: bool, is_simulated: bool
    ) -> None:
        self.failure: Exception | None = None
        self._run = run
        self._check = check
        self._is_named = is_named
        self._is_simulated = is_simulated
        self._example = ""
        self._traceback: TracebackType | None = None

    def attempt(self, example: Any, schedule: int) -> None:
        __tracebackhide__ = True
        self._run.examples += 1
        try:
            self._call(example, schedule)
        except hypothesis.errors.UnsatisfiedAssumption:
            raise
        except Exception as exc:
            self.failure, self._example = exc, self._show(example, schedule)
            # Kept as it is now: on its way out, all frames of Hypothesis are added.
            self._traceback = exc.__traceback__ and exc.__traceback__.tb_next
            raise

    def _call(self, example: Any, schedule: int) -> None:
        __tracebackhide__ = True
        if not inspect.iscoroutinefunction(self._check):
            self._check(**example) if self._is_named else self._check(example)
        elif self._is_simulated:
            self._run_trio(run_simulation, self._timed, example, seed=schedule)
        else:
            self._run_trio(trio.run, self._bounded, example)

    def _run_trio(self, run: Callable[..., object], *args: Any, **options: Any) -> None:
        try:
            run(*args, **options)
        except trio.Cancelled as exc:
            raise AssertionError("a Cancelled came out that no scope asked for") from exc

    async def _timed(self, example: Any) -> None:
        began_at = trio.current_time()
        try:
            await in_time(self._await)(example)
        finally:
            self._run.count(virtual_seconds=trio.current_time() - began_at)

    async def _bounded(self, example: Any) -> None:
        with trio.fail_after(_LOOPBACK_TIMEOUT):
            await self._await(example)

    async def _await(self, example: Any) -> None:
        await (self._check(**example) if self._is_named else self._check(example))

    def _show(self, example: Any, schedule: int) -> str:
        named = example if self._is_named else {"example": example}
        shown = [f"{name}={_short(value)}" for name, value in named.items()]
        if schedule:
            shown.append(f"schedule={schedule}")
        return ("\n" if sum(map(len, shown)) > 80 else ", ").join(shown)

    def violation(self, failure: Exception, *, is_flaky: bool) -> PropertyViolatedError:
        """Make the error that tells of the last failure."""
        failure.with_traceback(self._traceback)
        return self._run.violation(observation(failure), example=self._example, is_flaky=is_flaky)


def _short(value: object) -> str:
    # Of an object without a repr of its own, the address says nothing and differs each time.
    shown = re.sub(r" object at 0x[0-9a-fA-F]+", "", repr(value))
    if len(shown) <= _MAX_SHOWN:
        return shown
    return f"{shown[: _MAX_SHOWN // 2]}... ({len(shown)} characters in all)"


def observation(exc: BaseException) -> str:
    """Put into words what an example failed with."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if type(exc) is AssertionError and str(exc):
        return str(exc)
    text = str(exc)
    what = f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    last = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{what}\nin {last.name}, line {last.lineno} of {Path(last.filename).name}"

"""How properties are stated, tried and reported."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import run_simulation
from trio_wsguard.testing.conformance import (
    Arm,
    PartError,
    Parts,
    Profile,
    Property,
    PropertyViolatedError,
    Report,
    Row,
    Run,
    UnknownPropertyError,
    all_properties,
    check_guard,
    expect,
    named_properties,
    plan,
    property_of,
    run_properties,
    run_property,
)
from trio_wsguard.testing.conformance import run as run_module
from trio_wsguard.testing.conformance.parts import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOTH = (Arm.SIMULATED, Arm.LOOPBACK)


def a_property(body: Callable[[Run], None]) -> Property:
    body.__doc__ = "All is well.\n\nSo they say."
    return property_of("guard", rows=[7], arms=BOTH)(body)


def a_run(
    body: Callable[[Run], None] = lambda _: None,
    arm: Arm = Arm.SIMULATED,
    seed: int | str = 1,
) -> Run:
    return Run(property=a_property(body), parts=Parts(), arm=arm, seed=seed)


def violation(run: Run, *args: Any, **options: Any) -> PropertyViolatedError:
    with pytest.raises(PropertyViolatedError) as caught:
        run.for_all(*args, **options)
    return caught.value


# --- stating ---------------------------------------------------------------------


def test_a_property_is_its_function() -> None:
    """Name and statement of a property are those of its function."""

    @property_of("backoff", rows=[12, 13])
    def all_is_well(run: Run) -> None:
        """Say that all is well.

        Always.
        """

    assert all_is_well.name == "all_is_well"
    assert all_is_well.statement == "Say that all is well."
    assert (all_is_well.subject, all_is_well.rows) == ("backoff", (12, 13))
    assert all_is_well.arms == (Arm.SIMULATED,)


def test_a_property_must_state_something() -> None:
    """A property without a docstring is refused."""
    with pytest.raises(ValueError, match="no docstring"):
        property_of("backoff")(lambda _: None)


def test_the_catalogue() -> None:
    """Every property has a name of its own, a full statement, and known subjects."""
    properties = all_properties()
    assert len({one.name for one in properties}) == len(properties)
    for one in properties:
        assert one.statement.endswith(".")
        assert one.arms
    assert {one.subject for one in all_properties("backoff")} == {"backoff"}
    both = all_properties("backoff", "heartbeat")
    assert set(both) == {*all_properties("backoff"), *all_properties("heartbeat")}


def test_properties_by_name() -> None:
    """A property can be had by its name; a wrong one is told, with a likely right one."""
    (found,) = named_properties(["delay_never_falls"])
    assert found.name == "delay_never_falls"
    with pytest.raises(UnknownPropertyError, match="did you mean delay_never_falls"):
        named_properties(["delay_never_fall"])
    with pytest.raises(UnknownPropertyError, match=r"no property is called 'zzz'$"):
        named_properties(["zzz"])


def test_a_plan_pairs_properties_with_arms() -> None:
    """A property is planned for those of the arms on which it can be tried."""
    everywhere, simulated = a_property(lambda _: None), all_properties("backoff")[0]
    pairs = plan([everywhere, simulated])
    assert pairs == (
        (everywhere, Arm.SIMULATED),
        (everywhere, Arm.LOOPBACK),
        (simulated, Arm.SIMULATED),
    )
    assert plan([everywhere, simulated], [Arm.LOOPBACK]) == ((everywhere, Arm.LOOPBACK),)


# --- trying ----------------------------------------------------------------------


def test_examples_are_counted() -> None:
    """As many examples are tried as the profile says, and they are counted."""
    run = a_run()
    seen: list[int] = []
    run.for_all(st.integers(), seen.append)
    assert run.examples == len(seen) == Profile.QUICK.max_examples
    run.for_all(st.integers(), seen.append, share=0.1)
    assert run.examples == 110
    assert Profile.THOROUGH.max_examples > 1000


def test_the_smallest_example_is_shown() -> None:
    """A violation shows the smallest example, by the names of the check's arguments."""

    def check(number: int, word: str) -> None:
        expect(number < 10, f"{number} is too large")

    error = violation(a_run(), {"number": st.integers(), "word": st.text()}, check)
    assert error.example == "number=10, word=''"
    assert error.observed == "10 is too large"
    assert isinstance(error.__cause__, AssertionError)
    assert str(error).splitlines() == [
        "<lambda> does not hold (simulated)",
        "  states    All is well.",
        "  example   number=10, word=''",
        "  observed  10 is too large",
        f"  found     after {error.examples} examples; again with seed 1",
    ]


def test_long_examples_are_cut() -> None:
    """A long example has its values on lines of their own, each cut to what one can read."""

    def check(number: int, word: str) -> None:
        raise ValueError

    error = violation(a_run(), {"number": st.just(5), "word": st.just("x" * 5000)}, check)
    number, word = error.example.splitlines()
    assert number == "number=5"
    assert word.endswith("... (5002 characters in all)")
    assert len(word) < 250
    assert str(error).splitlines()[3] == f"            {word}"


def test_other_exceptions_are_told_with_their_place() -> None:
    """What a part raises is told with the line that raised it, and is the cause."""
    error = violation(a_run(), st.just(0), lambda number: 1 // number)
    first, second = error.observed.splitlines()
    assert first.startswith("ZeroDivisionError: ")
    assert second.startswith("in <lambda>, line ")
    assert second.endswith("of test_property.py")
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_the_cause_is_free_of_hypothesis() -> None:
    """The traceback of the cause begins near the check: what lies between helps nobody."""

    def check(number: int) -> None:
        raise KeyError(number)

    cause = violation(a_run(), st.just(0), check).__cause__
    assert cause is not None
    names, traceback = [], cause.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names == ["_call", "check"]


def test_the_same_seed_finds_the_same() -> None:
    """The same seed tries the same examples, another seed others."""

    def examples(seed: int | str) -> list[int]:
        seen: list[int] = []
        a_run(seed=seed).for_all(st.integers(), seen.append)
        return seen

    assert examples(1) == examples(1)
    assert examples(1) != examples(2)
    assert examples("text") == examples("text")


def test_the_seed_of_pytest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pytest was given a seed for Hypothesis, that is the one."""
    monkeypatch.setattr("hypothesis.core.global_force_seed", 77)
    assert run_module.default_seed() == 77
    monkeypatch.setattr("hypothesis.core.global_force_seed", None)
    assert run_module.default_seed() != run_module.default_seed()


def test_what_fails_now_and_then_is_told_as_such() -> None:
    """A check that fails the first time only is a violation, and is told to be fickle."""
    calls: list[int] = []

    def check(number: int) -> None:
        calls.append(number)
        expect(len(calls) > 1, "the first call")

    error = violation(a_run(), st.integers(), check)
    assert error.is_flaky
    assert error.observed == "the first call"
    assert "did not fail each time" in str(error)


def test_a_mistake_in_a_property_is_no_violation() -> None:
    """What Hypothesis itself complains of comes out as it is."""
    with pytest.raises(TypeError, match="Expected"):
        a_run().for_all({"one": 5}, lambda one: None)  # type: ignore[dict-item]


def test_assumptions_are_no_failures() -> None:
    """A check may dismiss an example."""
    from hypothesis import assume

    a_run().for_all(st.integers(), lambda number: assume(number % 2 == 0))


async def _sleeper(seconds: int) -> None:
    await trio.sleep(seconds)


def test_async_checks_run_in_virtual_time() -> None:
    """On the simulated arm an async check runs in virtual time, which is counted."""
    run = a_run()
    run.for_all(st.just(3600), _sleeper)
    assert run.virtual_seconds == 3600 * run.examples
    row = run_property(a_run(lambda run: run.for_all({"seconds": st.just(36)}, _sleeper)))
    assert row.virtual_hours == pytest.approx(0.01 * row.examples)


def test_async_checks_fail_like_others() -> None:
    """A failure of an async check is told as itself, out of its nursery."""

    async def check(number: int) -> None:
        async def fail() -> None:
            await trio.sleep(1)
            expect(number < 7, f"{number} is too large")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    error = violation(a_run(), {"number": st.integers()}, check)
    assert (error.example, error.observed) == ("number=7", "7 is too large")


def test_the_schedule_is_a_part_of_the_example() -> None:
    """Where a failure hangs on the order of tasks, the schedule is told."""

    async def order() -> list[int]:
        places: list[int] = []

        async def note(place: int) -> None:
            places.append(place)

        async with trio.open_nursery() as nursery:
            for place in range(5):
                nursery.start_soon(note, place)
        return places

    async def check(first: int) -> None:
        expect((await order())[0] == first, "another is first")

    first = run_simulation(order)[0]
    error = violation(a_run(), {"first": st.just(first)}, check)
    assert error.observed == "another is first"
    assert error.example.startswith(f"first={first}, schedule=")


def test_async_checks_on_loopback_run_in_real_time() -> None:
    """On the loopback arm the clock is the real one, and no virtual time is counted."""

    async def check(_: None) -> None:
        assert isinstance(trio.lowlevel.current_clock(), trio.abc.Clock)
        assert not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
        await trio.lowlevel.checkpoint()

    run = a_run(arm=Arm.LOOPBACK)
    run.for_all(st.none(), check)
    assert run.virtual_seconds == 0
    assert run.examples >= 1


def test_a_check_that_hangs_on_loopback_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the loopback arm no example takes for ever."""
    monkeypatch.setattr(run_module, "_LOOPBACK_TIMEOUT", 0)
    error = violation(a_run(arm=Arm.LOOPBACK), st.none(), lambda_sleep)
    assert error.arm == "loopback"
    assert error.observed.startswith("TooSlowError")


async def lambda_sleep(_: None) -> None:
    await trio.sleep_forever()


def test_violations_can_be_pickled() -> None:
    """A violation passes between processes, and says the same there."""
    error = violation(a_run(), st.just(0), lambda number: 1 // number)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert str(copy) == str(error)
    assert (copy.name, copy.seed) == (error.name, error.seed)


# --- reporting -------------------------------------------------------------------


def test_a_row_tells_how_it_went() -> None:
    """A row has the figures of the run."""

    def body(run: Run) -> None:
        run.for_all(st.integers(), lambda _: None)
        run.count(faults=3, virtual_seconds=7200)

    row = run_property(a_run(body))
    assert row.outcome == "passed"
    assert (row.examples, row.faults, row.virtual_hours) == (100, 3, 2.0)
    assert row.wall_seconds > 0


def test_a_property_may_not_apply() -> None:
    """A property that says nothing about the part is skipped, with the reason."""
    row = run_property(a_run(lambda run: run.skip("no part")))
    assert (row.outcome, row.reason) == ("skipped", "no part")


def test_a_part_that_cannot_be_made_fails() -> None:
    """What is raised outside of examples is a violation as well."""
    row = run_property(a_run(lambda run: [][0]))
    assert row.outcome == "failed"
    assert row.violation is not None
    assert row.violation.observed.startswith("IndexError")
    assert isinstance(row.violation.__cause__, IndexError)
    assert "example" not in str(row.violation).splitlines()[2]


def test_all_are_tried_to_the_end() -> None:
    """A violation does not keep the others from being tried; progress is told."""
    told: list[tuple[str, str, str]] = []

    def progress(prop: Property, arm: Arm, row: Row | None) -> None:
        told.append((prop.name, arm.value, row.outcome if row else ""))

    def good(run: Run) -> None: ...

    def bad(run: Run) -> None:
        run.for_all(st.just(0), lambda number: 1 // number)

    properties = [a_property(bad), a_property(good)]
    report = run_properties(properties, arms=[Arm.SIMULATED], progress=progress)
    assert told == [
        ("bad", "simulated", ""),
        ("bad", "simulated", "failed"),
        ("good", "simulated", ""),
        ("good", "simulated", "passed"),
    ]
    assert not report.is_passed
    assert [error.name for error in report.violations] == ["bad"]
    assert "1 FAILED" in str(report)


def test_the_report_is_a_table() -> None:
    """A report prints as a table with a line for the whole."""
    figures: dict[str, Any] = {"examples": 1200, "faults": 34, "virtual_hours": 720.04}
    rows = (
        Row(property="one", subject="backoff", arm="simulated", outcome="passed", **figures),
        Row(property="longer", subject="guard", arm="loopback", outcome="skipped"),
    )
    assert str(Report(rows)).splitlines() == [
        "property       arm        examples  faults  virtual hours  wall seconds  result",
        "-------------  ---------  --------  ------  -------------  ------------  -------",
        "backoff: one   simulated     1,200      34          720.0           0.0  passed",
        "guard: longer  loopback          0       0            0.0           0.0  skipped",
        "-------------  ---------  --------  ------  -------------  ------------  -------",
        "2 properties                 1,200      34          720.0           0.0  passed",
    ]


def test_a_report_of_nothing_is_not_passed() -> None:
    """Where nothing was tried, nothing was proved."""
    assert not Report(()).is_passed
    assert "nothing tried" in str(Report(()))


def test_rows_pass_between_processes() -> None:
    """A row can be made of its plain figures again."""
    row = run_property(a_run(lambda run: [][0]))
    assert Report.from_dicts([row.as_dict()]).rows == (row,)


def test_a_check_of_nothing_is_an_error() -> None:
    """Where no property can be tried, nothing was proved: that is told."""
    with pytest.raises(LookupError, match="no property of guard can be tried there"):
        check_guard(wsguard.open_guarded_websocket, arms=[])


# --- parts -----------------------------------------------------------------------


def test_all_is_tried_by_default() -> None:
    """By default every part of the library is under test, else only what was given."""
    assert len(Parts().subjects) == 4
    given = Parts.of(
        heartbeat=wsguard.LwpHeartbeat,
        transport="trio-websocket",
        open_guard=wsguard.open_guarded_websocket,
    )
    assert given.subjects == ("heartbeat", "transport", "guard")


@pytest.mark.parametrize("given", [{"transport": "pigeon"}, {"transport": 5}, {"open_guard": 5}])
def test_other_parts_are_checked(given: dict[str, Any]) -> None:
    """What cannot be a transport or a guard is refused."""
    with pytest.raises(PartError):
        Parts.of(**given)
    with pytest.raises(PartError, match="5: "):
        check_guard(5)


def test_parts_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is found by its name, in the user's own folder, too."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "parts_by_name.py").write_text("class Shop:\n    part = 5\n")
    assert load("parts_by_name:Shop.part", str(tmp_path)) == 5
    assert load("trio_wsguard:LwpHeartbeat", str(tmp_path)) is wsguard.LwpHeartbeat


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("trio_wsguard", "must be written as"),
        ("trio_wsguard:", "must be written as"),
        (":x", "must be written as"),
        ("trio_wsguard:nothing", "trio_wsguard has no attribute nothing"),
        ("no_such_module:x", "cannot import: ModuleNotFoundError"),
        ("..:x", "cannot import: TypeError"),
    ],
)
def test_wrong_names(name: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands for nothing is told with the reason."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    with pytest.raises(PartError) as caught:
        load(name, ".")
    assert str(caught.value).startswith(f"{name!r}: {problem}")

"""What is raised when a property does not hold."""

from __future__ import annotations

import textwrap


class PropertyViolatedError(AssertionError):
    """A part does not have a property that it ought to have.

    Raised from the exception of the smallest example found.

    Attributes:
        name: The property.
        statement: What it states.
        arm: Where it was tried: ``"simulated"`` or ``"loopback"``.
        example: The smallest example found; empty where there was none.
        observed: What happened instead.
        examples: How many were tried until then, those of shrinking included.
        seed: Finds the same again.
        is_flaky: Whether the same example did not fail every time.
    """

    def __init__(
        self,
        name: str,
        statement: str,
        arm: str,
        example: str,
        observed: str,
        examples: int,
        seed: int | str,
        is_flaky: bool = False,
    ) -> None:
        super().__init__(name, statement, arm, example, observed, examples, seed, is_flaky)
        self.name = name
        self.statement = statement
        self.arm = arm
        self.example = example
        self.observed = observed
        self.examples = examples
        self.seed = seed
        self.is_flaky = is_flaky

    def __str__(self) -> str:
        lines = [f"{self.name} does not hold ({self.arm})", _field("states", self.statement)]
        if self.example:
            lines.append(_field("example", self.example))
        lines.append(_field("observed", self.observed))
        if self.is_flaky:
            what = "the same example did not fail each time: state is kept, or chance is not seeded"
            lines.append(_field("note", what))
        lines.append(
            _field("found", f"after {self.examples} examples; again with seed {self.seed}")
        )
        return "\n".join(lines)


def _field(label: str, text: str) -> str:
    return f"  {label:8}  " + textwrap.indent(text, " " * 12).lstrip()


def expect(holds: bool, otherwise: str) -> None:
    """State what must hold.

    Not `assert`: that is gone under ``python -O``, and pytest explains it only
    in files that it rewrites.

    Args:
        holds: Whether it does.
        otherwise: What is the case if not.

    Raises:
        AssertionError: It does not.
    """
    __tracebackhide__ = True
    if not holds:
        raise AssertionError(otherwise)

"""Validators of settings: each refuses with a `PolicyError` that names field and value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs

    Validator = Callable[[Any, attrs.Attribute[Any], Any], None]


def _number(attribute: attrs.Attribute[Any], value: object) -> float:
    # bool is an int in Python and never a duration; NaN compares false with everything.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyError(attribute.name, value, "must be a number")
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an int beyond the range of float
        is_finite = False
    if not is_finite:
        raise PolicyError(attribute.name, value, "must be finite")
    return value


def positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept finite numbers above 0."""
    if _number(attribute, value) <= 0:
        raise PolicyError(attribute.name, value, "must be above 0")


def not_negative(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept finite numbers from 0 on."""
    if _number(attribute, value) < 0:
        raise PolicyError(attribute.name, value, "must not be negative")


def whole(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept whole numbers from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise PolicyError(attribute.name, value, "must be a whole number")
    if value < 0:
        raise PolicyError(attribute.name, value, "must not be negative")


def count(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept whole numbers from 1 on."""
    whole(instance, attribute, value)
    if value == 0:
        raise PolicyError(attribute.name, value, "must be at least 1")


def boolean(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept True and False."""
    if not isinstance(value, bool):
        raise PolicyError(attribute.name, value, "must be True or False")


def function(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept what can be called."""
    if not callable(value):
        raise PolicyError(attribute.name, value, "must be callable")


def optional(validator: Validator) -> Validator:
    """Accept ``None`` besides what `validator` accepts."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is not None:
            validator(instance, attribute, value)

    return check


def instance_of(kind: type) -> Validator:
    """Accept instances of `kind`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise PolicyError(attribute.name, value, f"must be a {kind.__name__}")

    return check


def tuple_of(kind: type) -> Validator:
    """Accept tuples of instances of `kind`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, tuple):
            raise PolicyError(attribute.name, value, f"must be a tuple of {kind.__name__}")
        for item in value:
            if not isinstance(item, kind):
                raise PolicyError(attribute.name, item, f"must be a {kind.__name__}")

    return check


def codes(lowest: int, highest: int) -> Validator:
    """Accept sets of whole numbers within a range, both ends included."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, frozenset):
            raise PolicyError(attribute.name, value, "must be a set of whole numbers")
        for code in value:
            if isinstance(code, bool) or not isinstance(code, int):
                raise PolicyError(attribute.name, code, "must be whole numbers")
            if not lowest <= code <= highest:
                raise PolicyError(attribute.name, code, f"must be within {lowest}..{highest}")

    return check

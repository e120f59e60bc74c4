"""Validators of the settings of faults; each refuses with a `PolicyError`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    import attrs

    from trio_wsguard._core.checks import Validator


def moment(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept numbers above 0, and ``inf`` for never."""
    if not (isinstance(value, float) and value == math.inf):
        checks.positive(instance, attribute, value)


def probability(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept numbers above 0 and up to 1."""
    checks.positive(instance, attribute, value)
    if value > 1:
        raise PolicyError(attribute.name, value, "must not exceed 1")


def one_of(*allowed: str) -> Validator:
    """Accept some words."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise PolicyError(attribute.name, value, f"must be one of {', '.join(allowed)}")

    return check

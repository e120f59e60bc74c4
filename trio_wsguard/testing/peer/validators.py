"""Validators of steps; see `trio_wsguard._core.checks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    import attrs

_MAX_REASON: Final = 123  # bytes of a close frame beside its code (RFC 6455, section 5.5)


def within(lowest: int, highest: int) -> checks.Validator:
    """Accept whole numbers within a range, both ends included."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        checks.whole(instance, attribute, value)
        if not lowest <= value <= highest:
            raise PolicyError(attribute.name, value, f"must be within {lowest}..{highest}")

    return check


def messages(_: object, attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    """Accept one message or more."""
    if not value:
        raise PolicyError(attribute.name, value, "must be one at least")
    for one in value:
        message(_, attribute, one)


def message(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Accept what can be sent."""
    if not isinstance(value, str | bytes):
        raise PolicyError(attribute.name, value, "must be text or bytes")
    if isinstance(value, str) and not _is_encodable(value):
        raise PolicyError(attribute.name, value, "has a lone surrogate")


def _is_encodable(text: str) -> bool:
    return text.encode(errors="ignore").decode() == text


def reason(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept what fits into a close frame."""
    if not isinstance(value, str) or not _is_encodable(value):
        raise PolicyError(attribute.name, value, "must be text")
    if len(value.encode()) > _MAX_REASON:
        raise PolicyError(attribute.name, value, f"must not exceed {_MAX_REASON} bytes")

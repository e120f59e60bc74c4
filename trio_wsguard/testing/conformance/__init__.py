"""The conformance suite: what must hold of a guard and of its parts.

Run all of it by ``pytest --pyargs trio_wsguard.testing.conformance`` or
``trio-wsguard conformance``, against the library's own parts or yours; or
prove one part in a test of yours by `check_backoff`, `check_heartbeat`,
`check_transport` or `check_guard`.
"""

from __future__ import annotations

from trio_wsguard.testing.conformance.catalogue import UnknownPropertyError as UnknownPropertyError
from trio_wsguard.testing.conformance.catalogue import all_properties as all_properties
from trio_wsguard.testing.conformance.catalogue import named_properties as named_properties
from trio_wsguard.testing.conformance.catalogue import plan as plan
from trio_wsguard.testing.conformance.check import check_backoff as check_backoff
from trio_wsguard.testing.conformance.check import check_guard as check_guard
from trio_wsguard.testing.conformance.check import check_heartbeat as check_heartbeat
from trio_wsguard.testing.conformance.check import check_transport as check_transport
from trio_wsguard.testing.conformance.check import run_properties as run_properties
from trio_wsguard.testing.conformance.check import run_property as run_property
from trio_wsguard.testing.conformance.parts import HeartbeatPart as HeartbeatPart
from trio_wsguard.testing.conformance.parts import PartError as PartError
from trio_wsguard.testing.conformance.parts import Parts as Parts
from trio_wsguard.testing.conformance.property import Arm as Arm
from trio_wsguard.testing.conformance.property import Profile as Profile
from trio_wsguard.testing.conformance.property import Property as Property
from trio_wsguard.testing.conformance.property import property_of as property_of
from trio_wsguard.testing.conformance.report import Report as Report
from trio_wsguard.testing.conformance.report import Row as Row
from trio_wsguard.testing.conformance.run import Run as Run
from trio_wsguard.testing.conformance.violation import (
    PropertyViolatedError as PropertyViolatedError,
)
from trio_wsguard.testing.conformance.violation import expect as expect

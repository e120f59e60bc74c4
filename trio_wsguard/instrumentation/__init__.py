"""What watches guards from outside: sinks for their alerts, metrics, traces.

Sinks are found here; metrics and traces in the modules `prometheus`,
`opentelemetry` and `export`.

Optional: `trio_wsguard` imports nothing of it, and what a third-party library
is needed for imports it when it is made.
"""

from __future__ import annotations

from trio_wsguard.instrumentation.alertmanager_sink import AlertmanagerSink as AlertmanagerSink
from trio_wsguard.instrumentation.call_sink import CallSink as CallSink
from trio_wsguard.instrumentation.channel_sink import ChannelSink as ChannelSink
from trio_wsguard.instrumentation.log_sink import LogSink as LogSink
from trio_wsguard.instrumentation.notifier import AlertNotifier as AlertNotifier
from trio_wsguard.instrumentation.notifier import open_notifier as open_notifier
from trio_wsguard.instrumentation.sinks import Sink as Sink
from trio_wsguard.instrumentation.sinks import SinkError as SinkError
from trio_wsguard.instrumentation.sinks import SinkFailure as SinkFailure
from trio_wsguard.instrumentation.sinks import SinkFigures as SinkFigures
from trio_wsguard.instrumentation.sinks import SinkPolicy as SinkPolicy
from trio_wsguard.instrumentation.webhook_sink import WebhookSink as WebhookSink

"""Logs and metrics, the same way in every function: one JSON object a line on standard output.

Doors use the logger made here; everything below them uses `logging.getLogger("d1fleet")`, which
writes through the same handler and so carries the same fields (`trace` above all). Whoever logs
passes facts as fields (`extra={"tenant_id": …}`), not inside the message. Nothing here redacts:
secrets and tokens are simply never passed.
"""

import logging
from collections.abc import Mapping
from typing import IO, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

__all__ = ["NAMESPACE", "Meter", "make_logger"]

NAMESPACE: Final = "d1fleet"


def make_logger(service: str, stream: IO[str] | None = None) -> Logger:
    """Return the structured logger of a function; the level is `LOG_LEVEL`'s, by default INFO.

    Two calls for one service give one logger: a second `stream` is not looked at. The logger
    `d1fleet` of the library writes where the last one made writes.
    """
    logger = Logger(service=service, stream=stream, utc=True, use_rfc3339=True)
    library = logging.getLogger(NAMESPACE)
    library.handlers = [logger.registered_handler]
    library.setLevel(logger.log_level)
    # httpx logs whole addresses, and a dump's address opens it to whoever has it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Lambda's own handler on the root logger would write each line a second time
    library.propagate = False
    return logger


class Meter:
    """Count what happens, as CloudWatch metrics in the embedded metric format.

    Each call writes one line at once: a function that is killed loses no count, and no state is
    shared between requests. Dimensions take few values, never a tenant's id.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add `value` to the metric `name`."""
        self._write(name, MetricUnit.Count, value, dimensions)

    def seconds(self, name: str, value: float, **dimensions: str) -> None:
        """Write down a duration."""
        self._write(name, MetricUnit.Seconds, value, dimensions)

    def figures(self, counts: Mapping[str, float], *, seconds: Mapping[str, float]) -> None:
        """Write down several metrics of one thing as one line."""
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
        for name, value in counts.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        for name, value in seconds.items():
            metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=value)
        metrics.flush_metrics()

    def _write(self, name: str, unit: MetricUnit, value: float, dimensions: dict[str, str]) -> None:
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
        for key, text in dimensions.items():
            metrics.add_dimension(name=key, value=text)
        metrics.add_metric(name=name, unit=unit, value=value)
        metrics.flush_metrics()

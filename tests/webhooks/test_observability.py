"""Logs and metrics as every function writes them."""

import io
import json
import logging
import uuid
from typing import Any

from shared.observability import Meter, make_logger


def test_the_librarys_logger_writes_the_same_lines() -> None:
    """What the library logs comes out as JSON, with the trace that the door set, and once."""
    out = io.StringIO()
    logger = make_logger(f"test-{uuid.uuid4()}", out)
    logger.thread_safe_append_keys(trace="t-1")
    logger.info("from the door")
    logging.getLogger("d1fleet").warning("from %s", "below", extra={"tenant_id": "acme"})
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["message"], line["trace"]) for line in lines] == [
        ("from the door", "t-1"),
        ("from below", "t-1"),
    ]
    assert lines[1]["tenant_id"] == "acme"
    assert lines[1]["timestamp"].endswith("+00:00")
    logger.thread_safe_clear_keys()


def test_each_count_is_one_line_of_embedded_metrics(capsys: Any) -> None:
    """A count is a line that CloudWatch reads as a metric of our namespace, and leaves no state."""
    meter = Meter("on_signup")
    meter.count("Webhooks", provider="clerk")
    meter.seconds("WebhookAge", 2.5)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "d1fleet"
    assert directive["Metrics"] == [{"Name": "Webhooks", "Unit": "Count"}]
    assert set(directive["Dimensions"][0]) == {"provider", "service"}
    assert (first["Webhooks"], first["provider"]) == ([1.0], "clerk")
    assert "provider" not in second
    assert second["WebhookAge"] == [2.5]

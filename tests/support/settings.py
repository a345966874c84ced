"""Settings of a deployment that has nothing but names."""

from typing import Any

from shared.settings import Settings

__all__ = ["settings_of"]

NAMES = {
    "bucket_name": "files",
    "event_bus_name": "bus",
    "alert_topic_arn": "arn:aws:sns:us-east-1:123456789012:alerts",
    "work_queue_url": "work",
    "work_dlq_url": "work-dlq",
    "bind_queue_url": "bind",
    "bind_dlq_url": "bind-dlq",
    "backup_queue_url": "backup",
    "backup_dlq_url": "backup-dlq",
    "secrets_prefix": "test",
}


def settings_of(**chosen: Any) -> Settings:
    """Return settings with what a test chose, and a name for everything that AWS has for us."""
    return Settings.model_validate(NAMES | chosen)

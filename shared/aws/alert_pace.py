"""How fast alerts may go out: per kind, so that a storm stays one message, and per channel.

Alerts are made by many processes at once; what each has told of is counted here, for all of them.
"""

from datetime import datetime, timedelta

from shared.aws.table import Condition, Put, Table
from shared.domain.finding import STORM, STORM_WITHIN
from shared.domain.lifecycle import iso
from shared.errors import Conflict

__all__ = ["AlertPace"]

_TRIES = 5
_FORGOTTEN = timedelta(days=2)


class AlertPace:
    """Count what was told, and remember which channels asked for a rest.

    Every method raises `Transient` when the table does not answer.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def permit(self, kind: str, now: datetime) -> bool:
        """Say whether an alert of a kind may be told by itself, and count it if so.

        At most nine are in any five minutes: the rest belongs into a summary.
        """
        key = {"pk": "ALERTS", "sk": f"KIND#{kind}"}
        for _ in range(_TRIES):
            item = self._table.get(**key) or {"version": 0, "told": []}
            since = iso(now - STORM_WITHIN)
            told = [at for at in item["told"] if at > since]
            if len(told) >= STORM - 1:
                return False
            version = int(item["version"])
            if version == 0:
                condition = Condition("kind is as it was read", "attribute_not_exists(pk)")
            else:
                condition = Condition(
                    "kind is as it was read",
                    "#version = :read",
                    {"#version": "version"},
                    {":read": version},
                )
            after = {
                **key,
                "version": version + 1,
                "told": [*told, iso(now)],
                "expires_at": int((now + _FORGOTTEN).timestamp()),
            }
            try:
                self._table.write(Put(after, condition))
            except Conflict:
                continue
            return True
        # So many at the same time are a storm already.
        return False

    def closed_until(self, channel: str) -> datetime | None:
        """Return until when a channel asked to be left alone, or None."""
        item = self._table.get("ALERTS", f"CHANNEL#{channel}")
        return None if item is None else datetime.fromisoformat(item["closed_until"])

    def close(self, channel: str, until: datetime) -> None:
        """Remember that a channel asked to be left alone."""
        self._table.write(
            Put(
                {
                    "pk": "ALERTS",
                    "sk": f"CHANNEL#{channel}",
                    "closed_until": iso(until),
                    "expires_at": int((until + _FORGOTTEN).timestamp()),
                }
            )
        )

"""Why a database could not be dumped, or a dump not be proven."""

from shared.errors import Permanent

__all__ = ["CannotDump", "NotRestorable"]


class CannotDump(Permanent):
    """Say that a database holds something that no dump of ours can bring back; nothing was lost."""


class NotRestorable(Permanent):
    """Say that a dump does not restore, or not to what it should: it proves nothing.

    The reason names tables and statements by number, never a value: it ends in logs and alerts.
    """

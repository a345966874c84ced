"""The outside systems that provisioning needs, opened when first used: signups need none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.aws.migrations import MigrationStore
from shared.cloudflare.client import CloudflareClient
from shared.domain.alert import Channel
from shared.router.client import RouterClient

__all__ = ["Outside"]


@dataclass(frozen=True)
class Outside:
    """Hold what opens Cloudflare's API and the router's admin door, and the stored migrations.

    `admin_secret` is the text that the router verifies with: one or more secrets, with spaces.
    `channels` are all that alerts go through; the topic is one of them.
    """

    cloudflare: Callable[[], CloudflareClient]
    router: Callable[[], RouterClient]
    admin_secret: Callable[[], str]
    migrations: MigrationStore
    channels: Callable[[], Sequence[Channel]]

    def head(self) -> str:
        """Return the newest schema version, empty before the first push."""
        head = self.migrations.head()
        return head.schema_version if head else ""

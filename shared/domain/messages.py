"""What travels in the queues: only which thing wants attention, never what to do with it.

The worker reads what should be and what is, so that a duplicate, a late or a lost message does no
harm.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import Permanent

__all__ = ["LONG_WORK", "Kind", "Message", "parse_message"]

Kind = Literal["tenant", "database", "pool", "shard", "subscription", "backup", "restore"]

LONG_WORK: Final = frozenset[Kind]({"backup", "restore"})
"""Kinds that take minutes: they have a queue and a function of their own."""


class Message(BaseModel):
    """Name one thing that wants attention.

    `id` is a tenant's id, the ULID of a database, backup or restore, a class, a script's name or a
    subscription's `<provider>:<mode>:<id>`. `token` is set on the continuation of a chain: a
    message whose token is no longer the record's is out of date.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    kind: Kind
    id: Annotated[str, Field(min_length=1, max_length=128)]
    trace: Annotated[str, Field(max_length=128)] = ""
    token: str | None = None

    def body(self) -> str:
        """Return the message as the body of a queue message."""
        return self.model_dump_json(exclude_none=True)


def parse_message(body: str) -> Message:
    """Read a queue message's body.

    Raises:
        Permanent: it is not one of ours; it is left to the dead letter queue, where a person looks.
    """
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        raise Permanent(f"not a work message: {error.error_count()} fields are wrong") from None

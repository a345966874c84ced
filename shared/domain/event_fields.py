"""The kinds of fields that events of all providers have, whatever they are about.

What got past these may be stored, and become part of a key of the table.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from shared.domain.names import TENANT_ID

__all__ = ["EventId", "EventType", "Mode", "ProviderName", "TenantId"]

Mode = Literal["live", "test"]


def _tenant_id(value: str) -> str:
    # fullmatch, not a pattern of pydantic's: those only search
    if TENANT_ID.fullmatch(value) is None:
        raise ValueError("not 1 to 128 characters of A-Za-z0-9_-.:|@")
    return value


ProviderName = Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")]
TenantId = Annotated[str, StringConstraints(strict=True), AfterValidator(_tenant_id)]
EventId = Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,256}$")]
"""Printable ASCII without blanks: it becomes part of a key of the table."""
EventType = Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,128}$")]

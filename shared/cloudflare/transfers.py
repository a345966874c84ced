"""Exports and imports: reading their steps, and moving the dumps themselves.

Their answers hold a second success flag inside the envelope's, and the dumps go to and from object
storage under signed addresses. Those are not calls to the API: they need no token, which must not
be sent there, and no permit.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpx

from shared.cloudflare import errors
from shared.cloudflare.answers import LOST, NOT_HTTP, Effect, from_exception, refusal
from shared.cloudflare.errors import CloudflareError, Facts
from shared.cloudflare.models import (
    ExportDone,
    ImportDone,
    ImportUpload,
    Model,
    Texts,
    TransferUnderWay,
)
from shared.cloudflare.transport import LONG, Answer

__all__ = ["export_step", "fetch_dump", "import_step", "put_dump"]

_BUSY: Final = re.compile(r"currently processing a long-running", re.IGNORECASE)
_GONE: Final = re.compile(r"not currently (im|ex)porting|cancell?ed|bookmark", re.IGNORECASE)
_LONGEST_MESSAGE: Final = 500


class _Step(Model):
    success: bool = True
    status: str | None = None
    error: str | None = None
    errors: Texts = ()
    result: dict[str, Any] | None = None


def export_step(answer: Answer) -> TransferUnderWay | ExportDone:
    """Read one step of an export."""
    step = _checked(answer)
    if step.status == "complete":
        inner = {**(step.result or {}), "at_bookmark": answer.result.get("at_bookmark")}
        return answer.parsed(ExportDone, inner)
    return answer.parsed(TransferUnderWay)


def import_step(answer: Answer, *, begun: bool) -> ImportUpload | TransferUnderWay | ImportDone:
    """Read one step of an import; before it has `begun`, D1 may ask for the file."""
    step = _checked(answer)
    if step.status == "complete":
        return answer.parsed(ImportDone, step.result or {})
    if not begun and step.status is None:
        return answer.parsed(ImportUpload)
    return answer.parsed(TransferUnderWay)


def put_dump(
    http: httpx.Client,
    upload_url: str,
    dump: bytes | Iterable[bytes],
    md5: str,
    *,
    size: int | None = None,
) -> None:
    """Put a dump where an import will read it; `md5` is in hex.

    One that comes in pieces is sent as they come: say its `size` in bytes, for object storage takes
    nothing of unknown length.

    Raises:
        Transient: it did not arrive whole; a new `import_init` gives a new address.
    """
    operation = "upload dump"
    headers = {} if size is None else {"content-length": str(size)}
    try:
        response = http.put(
            upload_url, content=dump, headers=headers, timeout=LONG, follow_redirects=False
        )
    except (*NOT_HTTP, *LOST) as error:
        raise from_exception(operation, error, Effect.READ) from None
    facts = Facts(operation, response.status_code)
    if not response.is_success:
        raise errors.Unavailable(facts)
    if response.headers.get("etag", "").strip('"') != md5:
        raise errors.Unavailable(
            Facts(operation, response.status_code, message="the stored dump has another MD5")
        )


def fetch_dump(http: httpx.Client, signed_url: str) -> Iterator[bytes]:
    """Yield a finished export's dump piece by piece; the address is good for an hour.

    Raises:
        Transient: it did not arrive whole.
    """
    operation = "download dump"
    try:
        with http.stream("GET", signed_url, timeout=LONG, follow_redirects=False) as response:
            if not response.is_success:
                raise errors.Unavailable(Facts(operation, response.status_code))
            yield from response.iter_bytes()
    except (*NOT_HTTP, *LOST) as error:
        # The address is a secret and may be quoted in the error: no chain.
        raise from_exception(operation, error, Effect.READ) from None


def _checked(answer: Answer) -> _Step:
    step = answer.parsed(_Step)
    if step.success and step.status != "error":
        return step
    raise _failure(answer.facts, step)


def _failure(known: Facts, step: _Step) -> CloudflareError:
    message = " ".join((step.error or "; ".join(step.errors)).split())[:_LONGEST_MESSAGE]
    facts = Facts(known.operation, known.status, message=message, cf_ray=known.cf_ray)
    if _BUSY.search(message):
        return errors.Overloaded(facts)
    if _GONE.search(message):
        return errors.TransferGone(facts)
    if "SQLITE_" in message:
        return refusal(
            Facts(facts.operation, facts.status, 7500, message, facts.cf_ray), Effect.READ
        )
    return errors.TransferFailed(facts)

"""Ask a billing provider for one subscription, with the API key that the operator gave.

Each provider answers a GET with the object that its events carry. An answer that is none of ours to
understand is an error of the policy that all adapters share; nothing of a key, and nothing of a
body, gets into one. The key needs no right but to read subscriptions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shared.billing_api.keys import API_KEYS
from shared.domain.billing_events import Word
from shared.domain.subscription import Ref
from shared.errors import Permanent, Transient
from shared.webhooks.billing.paddle import PaddleSubscription, paddle_word
from shared.webhooks.billing.polar import PolarSubscription, polar_word
from shared.webhooks.billing.stripe_objects import StripeSubscription, stripe_word

__all__ = ["BillingApi"]

_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stripe": "/v1/subscriptions/{}",
        "paddle": "/subscriptions/{}",
        "polar": "/v1/subscriptions/{}",
    }
)
_TIMEOUT: Final = httpx.Timeout(10, connect=5)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class BillingApi:
    """Fetch subscriptions.

    `urls` are the APIs' addresses by provider; `key` returns a provider's API key, and raises
    `Permanent` if there is none. `ours` as in `Reading`.
    """

    http: httpx.Client
    urls: Mapping[str, str]
    key: Callable[[str], str]
    clock: Callable[[], datetime]
    ours: bool = False

    def subscription(self, ref: Ref) -> Word | None:
        """Return what a subscription is now, None if the provider has no such one.

        The word has no fact if the status is not known. The fact's time is that at which it was
        asked for: what was said before it is older.

        Raises:
            Transient: the provider does not answer, or is too busy.
            Permanent: a person must act: the key is refused, or the answer is of another shape.
        """
        if ref.provider not in _PATHS:
            raise Permanent(f"{ref.provider} has no API to fetch a subscription from")
        at = self.clock()
        data = self._get(ref)
        if data is None:
            return None
        match ref.provider:
            case "stripe":
                stripe = _read(StripeSubscription, data, ref)
                if stripe.livemode not in {None, ref.mode == "live"}:
                    raise Permanent("the API key is of the other mode: put one of this mode")
                word = stripe_word(stripe, at=at)
            case "paddle":
                inner = data.get("data") if isinstance(data, dict) else None
                word = paddle_word(_read(PaddleSubscription, inner, ref), at=at, ours=self.ours)
            case _:
                word = polar_word(_read(PolarSubscription, data, ref), at=at)
        if word.subscription_id != ref.id:
            raise Permanent(f"{ref.provider} answered with another subscription")
        return word

    def _get(self, ref: Ref) -> Any:
        """Return the answer's JSON; None if there is no such subscription."""
        url = f"{self.urls[ref.provider]}{_PATHS[ref.provider].format(ref.id)}"
        headers = {"Authorization": f"Bearer {self.key(ref.provider)}"}
        try:
            response = self.http.get(url, headers=headers, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            # only the kind: the text may quote the request
            what = type(error).__name__
            raise Transient(f"{ref.provider}'s API does not answer: {what}") from None
        if response.status_code in {404, 410}:
            return None
        if response.status_code != 200:
            _refuse(ref, response)
        try:
            return response.json()
        except ValueError:
            raise Transient(f"{ref.provider}'s API answered with no JSON") from None


def _refuse(ref: Ref, response: httpx.Response) -> NoReturn:
    status = response.status_code
    if status in {401, 403}:
        raise Permanent(
            f"{ref.provider} refuses the API key ({status}): put one that may read subscriptions "
            f"into the secret {API_KEYS[ref.provider]}"
        )
    if status in {408, 409, 425, 429} or status >= 500:
        asked = response.headers.get("Retry-After", "")
        after = float(asked) if asked.isdecimal() else None
        raise Transient(f"{ref.provider}'s API is busy ({status})", retry_after=after)
    raise Permanent(f"{ref.provider}'s API refuses to answer ({status})")


def _read(model: type[M], data: object, ref: Ref) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fields = sorted({".".join(map(str, item["loc"])) or "body" for item in error.errors()})
        raise Permanent(
            f"{ref.provider} answered in another shape: {', '.join(fields)[:200]}"
        ) from None

"""Bodies of events, as short as each provider's adapter takes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
_STRIPE = {"suspended": "unpaid", "ended": "canceled", "pending": "incomplete"}
_PADDLE = {"suspended": "paused", "ended": "canceled"}
_POLAR = {"suspended": "unpaid", "ended": "canceled", "pending": "incomplete"}


def moment(seconds: float) -> datetime:
    """Return a moment so many seconds after the start of the story."""
    return START + timedelta(seconds=seconds)


def stripe(
    standing: str,
    at: float = 0,
    *,
    sub: str = "sub_1",
    customer: str = "cus_1",
    tenant: str | None = "acme",
    live: bool = True,
    **object_: Any,
) -> dict[str, Any]:
    kind = "deleted" if standing == "ended" else "updated"
    return {
        "id": f"evt_{sub}_{standing}_{at}_{live}",
        "object": "event",
        "created": int(moment(at).timestamp()),
        "livemode": live,
        "type": f"customer.subscription.{kind}",
        "data": {
            "object": {
                "id": sub,
                "status": _STRIPE.get(standing, standing),
                "customer": customer,
                "created": int(START.timestamp()),
                "metadata": {} if tenant is None else {"tenant_id": tenant},
                **object_,
            }
        },
    }


def checkout(
    sub: str | None = "sub_1", customer: str = "cus_1", tenant: str = "acme", *, live: bool = True
) -> dict[str, Any]:
    return {
        "id": f"evt_checkout_{sub}_{customer}_{tenant}",
        "created": int(START.timestamp()),
        "livemode": live,
        "type": "checkout.session.completed",
        "data": {
            "object": {"customer": customer, "subscription": sub, "client_reference_id": tenant}
        },
    }


def customer_deleted(at: float = 0, customer: str = "cus_1") -> dict[str, Any]:
    return {
        "id": f"evt_gone_{customer}_{at}",
        "created": int(moment(at).timestamp()),
        "livemode": True,
        "type": "customer.deleted",
        "data": {"object": {"id": customer}},
    }


def paddle(
    standing: str,
    at: float = 0,
    *,
    sub: str = "sub_p",
    customer: str = "ctm_1",
    tenant: str | None = "acme",
) -> dict[str, Any]:
    return {
        "event_id": f"evt_{sub}_{standing}_{at}",
        "event_type": "subscription.updated",
        "occurred_at": moment(at).isoformat(),
        "data": {
            "id": sub,
            "status": _PADDLE.get(standing, standing),
            "customer_id": customer,
            "custom_data": None if tenant is None else {"tenant_id": tenant},
        },
    }


def transaction(
    sub: str = "sub_p", customer: str = "ctm_1", tenant: str = "acme", *, origin: str = "api"
) -> dict[str, Any]:
    return {
        "event_id": f"evt_txn_{sub}_{origin}",
        "event_type": "transaction.completed",
        "occurred_at": START.isoformat(),
        "data": {
            "id": "txn_1",
            "subscription_id": sub,
            "customer_id": customer,
            "custom_data": {"tenant_id": tenant},
            "origin": origin,
        },
    }


def polar(standing: str, at: float = 0, *, sub: str = "7f0c", tenant: str = "acme") -> Any:
    return {
        "type": "subscription.revoked" if standing == "ended" else "subscription.updated",
        "timestamp": moment(at).isoformat(),
        "data": {
            "id": sub,
            "status": _POLAR.get(standing, standing),
            "customer_id": "992f",
            "customer": {"external_id": tenant},
        },
    }


def standard(standing: str, at: float = 0, *, sub: str | None = None, tenant: str = "acme") -> Any:
    data = {"tenant_id": tenant} if sub is None else {"tenant_id": tenant, "subscription_id": sub}
    return {"type": f"billing.{standing}", "timestamp": moment(at).isoformat(), "data": data}

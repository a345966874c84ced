"""A subscription that ends shuts the app's door within seconds, and a new one opens it again."""

import json
import time
from typing import Any

import pytest
import stripe

from tests.support.running import Running, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


def told(running: Running, kind: str, status: str, sub: str, tenant_id: str) -> dict[str, Any]:
    """Deliver an event of a subscription as Stripe does; return the door's answer."""
    now = int(time.time())
    event = {
        "id": f"evt_{sub}_{status}",
        "object": "event",
        "created": now,
        "livemode": False,
        "type": f"customer.subscription.{kind}",
        "data": {
            "object": {
                "id": sub,
                "object": "subscription",
                "status": status,
                "customer": f"cus_{tenant_id}",
                "metadata": {"tenant_id": tenant_id},
                "livemode": False,
            }
        },
    }
    body = json.dumps(event)
    secret = running.description["secrets"]["billing/stripe"]
    mac = stripe.WebhookSignature._compute_signature(f"{now}.{body}", secret)
    answer = running.http.post(
        f"{running.description['webhooks_url']}/webhooks/billing/stripe",
        content=body,
        headers={"content-type": "application/json", "stripe-signature": f"t={now},v1={mac}"},
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_subscription_ends_and_another_brings_the_tenant_back(running: Running) -> None:
    """The tenant closes, the app answers 402 within 30 seconds; a new one brings all of it back."""
    tenant_id = "org_pays"
    running.sign_up(tenant_id)
    running.wait_active(tenant_id)
    running.write_note(tenant_id, "kept")
    running.wait_full()
    calls = running.stats()["total"]
    assert told(running, "created", "active", "sub_1", tenant_id)["status"] == "accepted"
    assert told(running, "deleted", "canceled", "sub_1", tenant_id)["tenant_status"] == "closing"

    def refused() -> bool:
        return running.http.get(running.notes_url(tenant_id)).status_code == 402

    wait_until("the app answers 402", refused, 30)
    assert told(running, "updated", "active", "sub_1", tenant_id)["tenant_status"] == "closing"
    assert told(running, "created", "active", "sub_2", tenant_id)["status"] == "accepted"
    running.wait_active(tenant_id)
    wait_until(
        "the app serves it again",
        lambda: running.http.get(running.notes_url(tenant_id)).status_code == 200,
        35,
    )
    assert running.notes(tenant_id) == ["kept"]
    assert running.stats()["total"] == calls

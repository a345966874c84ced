"""Routes of tokens, accounts and what else wrangler asks about itself."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from local.cloudflare.account import Account
from local.cloudflare.doors import doors
from local.cloudflare.envelope import ok

__all__ = ["misc_blueprint"]

_VALID = {"code": 10000, "message": "This API Token is valid and active", "type": None}
_ONE = {"page": 1, "per_page": 20, "count": 1, "total_count": 1}
_USER = {"id": "emulator", "email": "emulator@example.com", "username": "emulator"}
# No analytics here: every group of every account is empty.
_EMPTY: dict[str, list[Any]] = {"d1AnalyticsAdaptiveGroups": [], "d1QueriesAdaptiveGroups": []}


def misc_blueprint(account: Account) -> Blueprint:
    """Build the routes that belong to no product."""
    door = _Door({"id": account.account_id, "name": "d1fleet emulator", "type": "standard"})
    return doors(
        "misc",
        {
            "GET /user/tokens/verify": door.verify,
            "GET /accounts/<a>/tokens/verify": door.verify,
            "GET /user": door.user,
            "GET /accounts": door.accounts,
            "GET /accounts/<a>": door.account,
            "GET /memberships": door.memberships,
            "POST /graphql": door.graphql,
            "GET /accounts/<a>/storage/kv/namespaces": door.namespaces,
        },
    )


@dataclass(frozen=True)
class _Door:
    shown: dict[str, str]

    def verify(self) -> Response:
        # Not the token itself: an id may be logged.
        token = request.headers.get("Authorization", "")
        identity = hashlib.sha256(token.encode()).hexdigest()[:32]
        return ok({"id": identity, "status": "active"}, messages=[_VALID])

    def user(self) -> Response:
        return ok(_USER)

    def accounts(self) -> Response:
        return ok([self.shown], result_info=_ONE)

    def account(self) -> Response:
        return ok(self.shown)

    def memberships(self) -> Response:
        member = {"id": "emulator", "status": "accepted", "account": self.shown}
        return ok([member], result_info=_ONE)

    def namespaces(self) -> Response:
        # None are emulated; wrangler looks whether a Worker that it deletes left one behind.
        return ok([], result_info=_ONE | {"count": 0, "total_count": 0})

    def graphql(self) -> Response:
        body = {"data": {"viewer": {"accounts": [_EMPTY]}}, "errors": None}
        return Response(json.dumps(body), content_type="application/json")

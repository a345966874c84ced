"""The billing providers' APIs, as small as they can be: one GET each, and an outage on demand."""

from dataclasses import dataclass, field
from typing import Any

import httpx
from flask import Flask, Response, jsonify, request

__all__ = ["BillingApis"]

KEY = "a key that may read"


@dataclass
class BillingApis:
    """Hold subscriptions by provider and id; `status` is answered instead while it is set."""

    subscriptions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    status: int | None = None
    asked: int = 0

    def app(self) -> Flask:
        app = Flask(__name__)

        def answer(provider: str, id_: str) -> Response | tuple[Any, int]:
            self.asked += 1
            if self.status is not None:
                return jsonify({"error": f"secret {KEY}"}), self.status
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return jsonify({"error": "no"}), 401
            found = self.subscriptions.get((provider, id_))
            if found is None:
                return jsonify({"error": "none"}), 404
            return jsonify({"data": found} if provider == "paddle" else found)

        app.add_url_rule("/<provider>/v1/subscriptions/<id_>", "versioned", answer)
        app.add_url_rule("/<provider>/subscriptions/<id_>", "plain", answer)
        return app

    def client(self) -> httpx.Client:
        """Return a client that reaches nothing else."""
        return httpx.Client(transport=httpx.WSGITransport(self.app()), base_url="http://billing")

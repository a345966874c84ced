"""A whole run of the stack with all that can go wrong, which an auditor looks at afterwards."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from local.stack import Stack
from tests.support.proxy import Effect, Proxy
from tests.support.running import CLI, Running, clerk_body, svix_headers, wait_until
from tests.support.stacks import give_back_after, waiting

__all__ = ["SECRETS", "Story"]


def whsec(seed: str) -> str:
    """Return a secret of Standard Webhooks that is the same in each run."""
    return "whsec_" + base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()


def _mac(secret: str, signed: str) -> str:
    return hmac.new(secret.encode(), signed.encode(), "sha256").hexdigest()


SECRETS: Mapping[str, str] = {
    "cloudflare-token": "Canary-CfToken_7hQ2mZx9Rk4Vt8Wp3Ny6Lb1",
    "router-admin": whsec("router-admin"),
    "auth/clerk": whsec("clerk"),
    "auth/standard": whsec("standard"),
    "auth/supabase": f"v1,{whsec('supabase')}",
    "auth/workos": "Canary-WorkOs_5Jd8Gq1Hs6Ft0Cv9Xe2Ua7",
    "auth/auth0": "Canary-Auth0_3Pz6Yw1Bn8Km5Tr4Qj9Dx2",
    "billing/stripe": "whsec_Canary4Stripe7Kq2Wm9",
    "billing/paddle": "Canary-Paddle_8Vn3Rt6Zc1Lx5Hb",
    "billing/polar": "Canary-Polar_2Gy7Df4Mp9Sk1Wq",
    "billing/standard": whsec("billing"),
    "billing/stripe-api-key": "Canary-StripeKey_6Jb1Tn8Xr3Fz",
    "billing/paddle-api-key": "Canary-PaddleKey_9Ls4Vh2Kd7Qm",
    "billing/polar-api-key": "Canary-PolarKey_5Cw8Pg1Nz6Ry",
    # The path of the URL: where it leads to is known only once somebody listens there.
    "alerts/slack-url": "/services/Canary-Slack_4Tz7Bq2Wn9Jf",
    "alerts/pagerduty-key": "CanaryPagerDuty8Hd3Kv6Rx1Lm5Gs0q",
    "alerts/webhook-secret": whsec("alerts"),
}
AUTH0_EVENT = {
    "specversion": "1.0",
    "type": "organization.created",
    "source": "urn:auth0:example.auth0app.com",
    "id": "evt_0000000000000001",
    "time": "2026-02-01T12:34:56Z",
    "data": {"object": {"name": "by-auth0", "id": "org_auth0"}},
}
EVENT_ROW = "dynamodb TransactWriteItems OUTBOX/… TENANT/H TENANT/META"


@dataclass
class Story:
    """Live through a run; `said` is all that anybody outside was answered, with who it was."""

    stack: Stack
    running: Running
    proxy: Proxy
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sqs = self.running.aws("sqs")

    def __call__(self) -> None:
        """Let everything happen, good and bad."""
        give_back_after(self.running, 3)
        self.subscribe()
        self.running.wait_full(1)
        self.sign_ups()
        self.bad_requests()
        self.billing()
        self.operators()
        self.cloudflare_fails()
        self.token_is_refused()
        self.processes_die()
        self.leaving()
        self.sweep()
        self.operators()

    def subscribe(self) -> None:
        """Listen to the alerts, as a person who gets mails does."""
        self.alerts = self.sqs.create_queue(QueueName="alerts-of-a-person")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.alerts, AttributeNames=["QueueArn"])
        self.running.aws("sns").subscribe(
            TopicArn=self.running.description["aws"]["topic_arn"],
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
        )

    # Webhooks

    def sign_ups(self) -> None:
        """Come warm and cold, by several providers, twice, broken and leaving."""
        for tenant in ("org_warm", "org_cold", "org_colder"):
            body = clerk_body(tenant)
            for _ in range(2):
                self._post("clerk", body, self.running.signed(body, f"msg_{tenant}"))
        body = json.dumps(AUTH0_EVENT)
        bearer = f"Bearer {SECRETS['auth/auth0']}"
        answer = self._post("auth0", body, {"authorization": bearer, **JSON})
        assert answer.json()["status"] == "accepted", answer.text
        body = json.dumps({**AUTH0_EVENT, "id": "evt_2", "data": {"object": {"id": "no id!"}}})
        answer = self._post("auth0", body, {"authorization": bearer, **JSON})
        assert answer.json()["status"] == "dead_lettered", answer.text
        broken = clerk_body("this is no id!")
        answer = self._post("clerk", broken, self.running.signed(broken))
        assert answer.json()["status"] == "dead_lettered", answer.text
        for tenant in ("org_warm", "org_cold", "org_colder", "org_auth0"):
            self.running.wait_active(tenant)
            note = self.running.http.get(self.running.notes_url(tenant))
            assert note.status_code == 200, note.text
        leaving = clerk_body("org_colder", "organization.deleted", deleted=True)
        assert self._post("clerk", leaving, self.running.signed(leaving)).status_code == 200

    def bad_requests(self) -> None:
        """Come forged, stale and malformed, with secrets where they do not belong."""
        body = clerk_body("org_forged")
        good = self.running.signed(body, "msg_forged")
        old = datetime.now(UTC) - timedelta(minutes=6)
        stale = svix_headers(self.running.secret, body, "msg_old", old)
        secret = SECRETS["auth/clerk"]
        misplaced = {
            "authorization": f"Bearer {secret}",
            "x-secret": secret,
            "cookie": f"s={secret}",
        }
        for headers in (
            {**good, "svix-signature": "v1,AAAA"},
            {**good, "svix-signature": f"v1,{secret.removeprefix('whsec_')}"},
            {**good, "svix-signature": secret},
            {**good, "content-type": "text/plain"},
            {**good, "content-encoding": "gzip"},
            stale,
            {**JSON, **misplaced},
            svix_headers(whsec("another"), body, "msg_other"),
        ):
            assert self._post("clerk", body, headers).status_code in {400, 401, 415}
        assert self._post("clerk", body[:-9], good).status_code in {400, 401}
        assert self._post("clerk", "x" * (2 << 20), good).status_code == 413
        for provider in ("nobody", "standard", "supabase", "workos", "auth0"):
            wrong = {"authorization": f"Bearer {SECRETS['auth/auth0']}x"}
            forged = {**good, "workos-signature": "t=1, v1=ab", **wrong}
            assert self._post(provider, body, forged).status_code in {400, 401, 404}
        now = str(int(time.time() * 1000))
        mac = hmac.new(SECRETS["auth/workos"].encode(), f"{now}.{body}".encode(), "sha256")
        signed = {"workos-signature": f"t={now}, v1={mac.hexdigest()}", **JSON}
        assert self._post("workos", body, signed).status_code == 200
        self._post(f"clerk?secret={SECRETS['auth/clerk']}", body, {**good, "svix-id": "x"})

    def billing(self) -> None:
        """Hear of subscriptions: parked, then linked, of each provider; no API answers."""
        now = int(time.time())
        iso = datetime.fromtimestamp(now, UTC).isoformat()
        paid: dict[str, Any] = {"tenant_id": "org_warm"}
        subscription = {"id": "sub_1", "status": "active", "customer": "cus_1"}
        session = {"customer": "cus_1", "metadata": paid}
        for number, (kind, object_) in enumerate(
            [
                ("customer.subscription.created", subscription),
                ("checkout.session.completed", session),
            ]
        ):
            event = {"id": f"evt_{number}", "created": now, "livemode": False, "type": kind}
            body = json.dumps({**event, "data": {"object": object_}})
            mac = _mac(SECRETS["billing/stripe"], f"{now}.{body}")
            self._pay("stripe", body, {"stripe-signature": f"t={now},v1={mac}"})
        data: dict[str, Any] = {"id": "sub_2", "status": "active", "customer_id": "ctm_1"}
        body = json.dumps(
            {
                "event_id": "evt_p",
                "event_type": "subscription.created",
                "occurred_at": iso,
                "data": {**data, "custom_data": paid},
            }
        )
        mac = _mac(SECRETS["billing/paddle"], f"{now}:{body}")
        self._pay("paddle", body, {"paddle-signature": f"ts={now};h1={mac}"})
        data |= {"id": "sub_3", "metadata": paid}
        body = json.dumps({"type": "subscription.active", "timestamp": iso, "data": data})
        polar = base64.b64encode(SECRETS["billing/polar"].encode()).decode()
        self._pay("polar", body, svix_headers(f"whsec_{polar}", body, "msg_polar"))
        for kind, tenant in (("active", "org_warm"), ("boiled", "org_warm"), ("active", "no id!")):
            body = json.dumps({"type": f"billing.{kind}", "data": {"tenant_id": tenant}})
            headers = svix_headers(SECRETS["billing/standard"], body, f"msg_{kind}_{len(tenant)}")
            self._pay("standard", body, headers)
        forged = svix_headers(SECRETS["billing/standard"], "other", "msg_forged")
        assert self._send("billing/standard", body, forged).status_code == 401
        wait_until("each API was asked", lambda: len(self._asked()) == 3, 60)

    def _asked(self) -> set[str]:
        """Return of which providers the worker tried to fetch a subscription."""
        log = self.running.log("provision")
        return {name for name in ("stripe", "paddle", "polar") if f"{name}'s API" in log}

    def _pay(self, provider: str, body: str, headers: Mapping[str, str]) -> None:
        plain = {name.replace("svix-", "webhook-"): value for name, value in headers.items()}
        answer = self._send(f"billing/{provider}", body, {**plain, **JSON})
        assert answer.status_code == 200, answer.text

    def _post(self, where: str, body: str, headers: Mapping[str, str]) -> httpx.Response:
        return self._send(f"auth/{where}", body, headers)

    def _send(self, where: str, body: str, headers: Mapping[str, str]) -> httpx.Response:
        url = f"{self.running.description['webhooks_url']}/webhooks/{where}"
        answer = self.running.http.post(url, content=body, headers=dict(headers))
        self._heard(f"answer to {where}", answer.content + str(answer.headers).encode())
        return answer

    # Operators

    def operators(self) -> None:
        """Ask everything that the command line can be asked, for people and for programs."""
        commands = [
            ["tenants", "list"],
            ["tenants", "show", "org_warm"],
            ["tenants", "show", "org_nobody"],
            ["tenants", "history", "org_warm"],
            ["pool", "status"],
            ["migrations", "list"],
            ["budget"],
            ["doctor"],
            ["sql", "org_warm", "SELECT count(*) FROM notes"],
            ["sql", "org_warm", "SELECT nonsense"],
            ["tenants"],
            ["nonsense"],
        ]
        self.command_all([[*each, *more] for each in commands for more in ([], ["--json"])])

    def command_all(self, commands: list[list[str]]) -> None:
        """Run many command lines in one process: each alone takes a second to start."""
        driver = [sys.executable, "-c", ONE_PROCESS, json.dumps(commands)]
        done = subprocess.run(
            driver, cwd=self.folder, capture_output=True, timeout=300, check=False
        )
        assert done.stdout.count(b"exit status") == len(commands), done.stderr.decode()
        self._heard("d1fleet with all that reads", done.stdout + done.stderr)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command line in the stack's folder."""
        done = subprocess.run(
            [CLI, *arguments], cwd=self.folder, capture_output=True, timeout=120, check=False
        )
        self._heard(f"d1fleet {' '.join(arguments)}", done.stdout + done.stderr)
        return done

    @property
    def folder(self) -> Path:
        """Return the folder in which the stack runs."""
        return self.stack.folder.parent

    def _heard(self, who: str, what: bytes) -> None:
        self.said.append((who, what))

    # What fails

    def cloudflare_fails(self) -> None:
        """Have Cloudflare refuse, limit, and forget to answer, while somebody signs up."""
        url = f"{self.running.description['cloudflare']['control_url']}/routes"
        routes = self.running.http.get(url).json()
        create = next(r for r in routes if r.startswith("POST") and r.endswith("/d1/database"))
        publish = next(r for r in routes if r.startswith("PATCH") and r.endswith("/settings"))
        faults: list[dict[str, Any]] = [
            {"route": create, "nth": 1, "do": "status", "status": 500},
            {"route": create, "nth": 2, "do": "lose_answer"},
            {"route": publish, "nth": 1, "do": "status", "status": 503},
            {"route": publish, "nth": 2, "do": "lose_answer"},
        ]
        self.running.control("faults", faults)
        for tenant in ("org_faults_1", "org_faults_2"):
            self.running.sign_up(tenant)
        for tenant in ("org_faults_1", "org_faults_2"):
            self.running.wait_active(tenant)
        self.running.control(
            "faults", [{"route": "*", "nth": "every", "do": "status", "status": 400}]
        )
        reads = [["doctor"], ["budget"], ["sql", "org_warm", "SELECT 1"]]
        self.command_all([[*each, *more] for each in reads for more in ([], ["--json"])])
        self.running.control("reset", {})

    def token_is_refused(self) -> None:
        """Take the token's permissions, one by one, until a person gives them back."""
        for groups in (["D1 Write"], None):
            before = self._alerts_sent()
            self._grant(groups)
            # Two, for one may find a database in the pool.
            signed_up = [f"org_may_not_{len(groups or ())}_{number}" for number in range(2)]
            for tenant in signed_up:
                self.running.sign_up(tenant)
            wait_until("an alert says so", lambda before=before: self._alerts_sent() > before)
            if groups is None:
                wait_until(
                    "one failed", lambda names=signed_up: "failed" in map(self._status, names)
                )
            self.command("doctor")
            self.command("init")
            self._grant(["Account Settings Read", "D1 Write", "Workers Scripts Write"])
            self.command("pool", "fill")
            self.sweep()
            for tenant in signed_up:
                self.running.wait_active(tenant)

    def _status(self, tenant_id: str) -> str | None:
        tenant = self.running.tenant(tenant_id)
        return tenant.status if tenant else None

    def _alerts_sent(self) -> int:
        return waiting(self.sqs, self.alerts)

    def _grant(self, groups: list[str] | None) -> None:
        order = {"token": SECRETS["cloudflare-token"], "groups": groups}
        self.running.control("tokens", order)

    def leaving(self) -> None:
        """Have a tenant leave for good, with its proven backup, and come back from it."""
        done = self.command("tenants", "close", "org_colder", "--grace", "PT0S", "--json")
        assert done.returncode == 0, done.stderr
        wait_until("org_colder left", lambda: self._status("org_colder") == "closed")
        done = self.command("restore", "org_colder", "--no-wait")
        assert done.returncode == 0, done.stderr
        self.running.wait_active("org_colder")

    def processes_die(self) -> None:
        """Kill processes, one between an event's row and the event; send nonsense."""
        self.proxy.watch(Effect("ProvisionFunction", EVENT_ROW))
        self.running.sign_up("org_killed")
        wait_until("it was killed", lambda: self.proxy.killing)
        self.running.wait_active("org_killed")
        for name in self.stack.service.counts():
            for pid in self.stack.service.pids(name)[:1]:
                os.kill(pid, signal.SIGKILL)
        give_back_after(self.running, 1, receives=2)
        queues = self.running.description["aws"]["queues"]
        self.sqs.send_message(QueueUrl=queues["work"], MessageBody='{"v":1,"kind":"nonsense"}')
        self.sqs.send_message(
            QueueUrl=queues["bind"],
            MessageBody="no JSON",
            MessageGroupId="nonsense",
            MessageDeduplicationId="nonsense",
        )
        for name in ("work_dlq", "bind_dlq"):
            wait_until(f"{name} holds it", lambda name=name: waiting(self.sqs, queues[name]))
        give_back_after(self.running, 30)

    def sweep(self) -> None:
        """Have what was lost found."""
        for arguments in (("reconcile", "--sweep"), ("reconcile",)):
            done = self.command(*arguments)
            # What the story broke on purpose is left: that is for a person.
            assert done.returncode in {0, 2}, done.stderr


ONE_PROCESS = """
import json, sys
from ops.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    print("exit status", status, flush=True)
"""
JSON = {"content-type": "application/json"}

"""Real processes are killed right after what they did, and what they were asked comes again."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from local.stack import Stack
from tests.support.proxy import Effect, Killing, Proxy
from tests.support.running import Running, clerk_body, wait_until
from tests.support.stacks import items_of, reconcile, waiting

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

TRIES = 3
"""Runs in which a side effect that was recorded may come once more."""
LEASE_TAKEN = "dynamodb UpdateItem POOL/META SET lease_until"
LEASE_GIVEN_BACK = "dynamodb UpdateItem POOL/META SET recent"
FUNCTIONS = {"OnSignupFunction", "ProvisionFunction", "BindFunction"}
INBOX_ROW = "dynamodb TransactWriteItems INBOX/META TENANT/H TENANT/META TENANT/SUB"


@dataclass
class Fleet:
    """Sign new tenants up, each once, and know what must be there."""

    running: Running
    proxy: Proxy
    tenants: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sqs = self.running.aws("sqs")
        self.dynamodb = self.running.aws("dynamodb")

    def sign_up(self, kill_after: Effect | None = None) -> list[str]:
        """Run a cold signup to its end, with one kill or none; return the door's answers."""
        tenant_id = f"org_{len(self.tenants)}"
        self.tenants.append(tenant_id)
        self.proxy.watch(kill_after)
        answers = self._deliver(tenant_id)
        wait_until(
            f"{tenant_id} lives, or who makes it so was killed",
            lambda: self.proxy.killing or (self._is_live(tenant_id) and self._idle()),
        )
        if self.proxy.killing is not None and held_lease(self.proxy.killing.did):
            self._outlive_the_lease()
        wait_until(f"{tenant_id} lives", lambda: self._is_live(tenant_id))
        wait_until("the queues are empty", self._idle)
        return answers

    def _is_live(self, tenant_id: str) -> bool:
        return self.running.http.get(self.running.notes_url(tenant_id)).status_code == 200

    def _outlive_the_lease(self) -> None:
        """Let the time pass for which a killed refill of the pool keeps others out.

        In the cloud that is over when its message comes back, after 180 s; here it comes after two.
        """
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        self.dynamodb.update_item(
            TableName=self.running.description["aws"]["table"],
            Key={"pk": {"S": "POOL#weur"}, "sk": {"S": "META"}},
            UpdateExpression="SET lease_until = :past",
            ConditionExpression="attribute_exists(lease_until)",
            ExpressionAttributeValues={":past": {"S": past}},
        )

    def _deliver(self, tenant_id: str) -> list[str]:
        """Send the event, and as a provider does the same again while it is not taken."""
        answers: list[str] = []
        body = clerk_body(tenant_id)
        while len(answers) < 3 and (not answers or answers[-1].startswith("5")):
            answer = self.running.deliver(body, f"msg_{tenant_id}")
            answers.append(str(answer.json().get("status", answer.status_code)))
        return answers

    def _idle(self) -> bool:
        queues = self.running.description["aws"]["queues"]
        return not any(waiting(self.sqs, queues[name]) for name in ("work", "bind"))

    def check(self) -> None:
        """Assert that each tenant has one database, and D1 has what the table says."""
        records = {item["name"]["S"]: item for item in self._records("DB#")}
        tenants = {item["tenant_id"]["S"]: item for item in self._records("TENANT#")}
        assert set(tenants) == set(self.tenants)
        assert {item["status"]["S"] for item in tenants.values()} == {"active"}
        owners = Counter(item.get("owner", {}).get("S") for item in records.values())
        assert owners == Counter(self.tenants), "one database each"
        ours = re.compile(r"local-[0-9a-z]{26}")
        listed = self.running.api("GET", "/d1/database", params={"per_page": 1000})
        on_d1 = {d1["name"]: d1["uuid"] for d1 in listed if ours.fullmatch(d1["name"])}
        assert on_d1 == {name: item["database_id"]["S"] for name, item in records.items()}
        assert {item["database_id"]["S"] for item in tenants.values()} == set(on_d1.values())

    def _records(self, prefix: str) -> list[dict[str, dict[str, str]]]:
        return [
            item
            for item in items_of(self.running, self.dynamodb)
            if item["pk"]["S"].startswith(prefix) and item["sk"]["S"] == "META"
        ]


@pytest.fixture(scope="module")
def fleet(running: Running, proxy: Proxy) -> Fleet:
    """Return the fleet after its first signup, which also published the first shard."""
    made = Fleet(running, proxy)
    made.sign_up()
    made.check()
    return made


def test_a_signup_killed_between_its_row_and_its_message_goes_live(
    fleet: Fleet, stack: Stack, proxy: Proxy
) -> None:
    """The provider's redelivery is a duplicate that wakes the worker; no sweep is needed."""
    answers = fleet.sign_up(kill_after=Effect("OnSignupFunction", INBOX_ROW))
    assert isinstance(proxy.killing, Killing)
    assert proxy.killing.gone
    assert answers == ["500", "duplicate"]
    assert stack.service.counts()[reconcile(stack)].invocations == 0
    fleet.check()


def test_killed_after_each_side_effect(fleet: Fleet, proxy: Proxy) -> None:
    """Whatever a function did last, its message comes back and makes one tenant, one database."""
    effects = recorded(fleet)
    assert len(effects) >= 8
    assert {effect.function for effect in effects} == FUNCTIONS
    missed = []
    for effect in effects:
        killing = kill(fleet, effect)
        if killing is None:
            missed.append(str(effect))
            continue
        assert killing.gone
        with pytest.raises(ProcessLookupError):
            os.kill(killing.pid, 0)
        fleet.check()
    # How often somebody has to wait and asks again is different in each run.
    assert len(missed) <= 3, f"never came again: {missed}"


def held_lease(did: Sequence[str]) -> bool:
    """Say whether a process died while it alone might refill the pool."""
    taken = [what for what in did if what in {LEASE_TAKEN, LEASE_GIVEN_BACK}]
    return taken[-1:] == [LEASE_TAKEN]


def recorded(fleet: Fleet) -> list[Effect]:
    """Return the side effects of a cold signup: those of one run that came in two more as well."""
    runs = []
    for _ in range(3):
        fleet.sign_up()
        runs.append(fleet.proxy.effects())
    return [effect for effect in runs[0] if effect in runs[1] and effect in runs[2]]


def kill(fleet: Fleet, effect: Effect) -> Killing | None:
    """Sign tenants up until one of them was interrupted right after the effect."""
    for _ in range(TRIES):
        fleet.sign_up(kill_after=effect)
        if fleet.proxy.killing is not None:
            return fleet.proxy.killing
    return None

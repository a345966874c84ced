"""The last part of the demo: somebody meddles by hand, and one pass finds and mends it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import boto3
from ulid import ULID

from ops.context import Deployment
from ops.demo.senders import Cloudflare, DemoFailed, SampleApp, wait_for
from ops.demo.telling import Teller
from ops.passes import Passes
from shared.aws.items import Change
from shared.domain.database import Database, DatabaseStatus
from shared.domain.names import database_name
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.overviews import pool_rows

__all__ = ["Vandalism"]

UNBOUND: Final = "org_initech"
MISLED: Final = "org_umbrella"
MISLEAD: Final = "UPDATE tenant SET state = 'suspended' WHERE tenant_id = 'org_umbrella'"
FORGOTTEN: Final = "org_hooli"
QUICK: Final = (0.5, 1.0, 2.0)

LEFT: Final = {"database_orphan"}
"""Kinds that no first sight repairs: whatever could hurt waits for another pass and a day."""


@dataclass(frozen=True)
class Vandalism:
    """Tell what the reconciler makes of it. `tenants` are live, each with a note."""

    tell: Teller
    deployment: Deployment
    app: SampleApp
    cloudflare: Cloudflare

    @property
    def control(self) -> Control:
        """Return what sees what the functions see."""
        return self.deployment.parts.control

    def __call__(self) -> None:
        """Go through all of it.

        Raises:
            DemoFailed: something was not found, or found twice, or not mended.
        """
        self._quiet()
        alerts = self._listen()
        made = self._meddle()
        with self.tell.step("One pass compares everything, and repairs what the policy allows"):
            report = Passes(self.deployment, looks=QUICK).whole(dry=False)
            found = Counter(each["kind"] for each in report["findings"])
            if found != made:
                raise DemoFailed(f"the pass found {dict(found)}, made was {dict(made)}")
        self.tell.note(
            f"{report['rest_calls']} Cloudflare calls; {report['repaired']} repaired, "
            f"{report['left']} left: d1fleet drift"
        )
        told = self._told(alerts, len(made))
        for line in told:
            self.tell.note(line)
        self._mended()
        with self.tell.step("The next pass finds nothing new, and tells nobody"):
            again = Passes(self.deployment, looks=QUICK).whole(dry=False)
            if {each["kind"] for each in again["findings"]} != LEFT:
                raise DemoFailed(f"the next pass found {again['findings']}")
            if firing := [line for line in alerts() if line.startswith("[FIRING]")]:
                raise DemoFailed(f"somebody was told again: {firing}")

    def _quiet(self) -> None:
        wait_for(
            "a full pool", lambda: all(row.ready >= row.target for row in pool_rows(self.control))
        )
        if left := Passes(self.deployment).whole(dry=True)["findings"]:
            raise DemoFailed(f"there is drift before anybody meddled: {left}")

    # Meddling

    def _meddle(self) -> Counter[str]:
        """Meddle in six ways; return which kinds of drift that makes."""
        self.tell.rule("Somebody meddles: at the dashboard, with wrangler, in the table")
        control, fleet = self.control, self.control.settings.fleet
        with self.tell.step(f"the binding of {UNBOUND}'s database is removed from its shard"):
            tenant = self._tenant(UNBOUND)
            self.cloudflare.drop_binding(tenant.shard or "", tenant.binding or "")
        with self.tell.step("a database of the pool is deleted"):
            self.cloudflare.delete_database(self._pooled(tenant.shard).database_id or "")
        with self.tell.step("a database appears that nobody asked for"):
            self.cloudflare.create_database(database_name(fleet, str(ULID())))
        with self.tell.step(f"the directory is told that {MISLED} is suspended"):
            directory = control.fleet.get().directory_id
            self.cloudflare.query(directory, MISLEAD)
        with self.tell.step(f"{FORGOTTEN} signed up, and the message that makes it was lost"):
            self._forget()
        with self.tell.step("another Worker is deployed in the place of a shard"):
            [other] = {room.script for room in control.pools.shards()} - {tenant.shard}
            self.cloudflare.deploy_over(other)
        return Counter(
            {
                "binding_missing": 1,
                "database_missing": 1,
                "database_orphan": 1,
                "directory_stale": 1,
                "tenant_stuck": 1,
                "worker_overwritten": 1,
            }
        )

    def _forget(self) -> None:
        """Write down what a signup writes, ten minutes ago, and send nobody its message."""
        control = self.control
        then = control.now() - timedelta(minutes=10)
        tenant = Tenant(
            tenant_id=FORGOTTEN,
            status=TenantStatus.PENDING,
            class_=control.settings.default_class,
            provider="clerk",
            known_at=then,
            created_at=then,
            updated_at=then,
            status_since=then,
        )
        control.state.commit(Change(None, tenant, control.line("signed up")))

    # Looking

    def _mended(self) -> None:
        with self.tell.step("All of them read their notes again, and the forgotten one is live"):
            for tenant_id in (UNBOUND, MISLED):
                wait_for(f"the note of {tenant_id}", partial(self._reads, tenant_id))
            wait_for(f"{FORGOTTEN} live", lambda: self.app.is_live(FORGOTTEN))

    def _reads(self, tenant_id: str) -> bool:
        answer = self.app.notes(tenant_id)
        return answer.status_code == 200 and len(answer.json()) == 1

    def _tenant(self, tenant_id: str) -> Tenant:
        tenant = self.control.state.tenant(tenant_id)
        if tenant is None:
            raise DemoFailed(f"there is no {tenant_id}")
        return tenant

    def _pooled(self, shard: str | None) -> Database:
        """Return a ready database of the pool that is on a shard."""
        class_ = self.control.settings.default_class
        ready = self.control.state.databases(class_, DatabaseStatus.READY)
        return next(database for database in ready if database.shard == shard)

    def _listen(self) -> Callable[[], list[str]]:
        """Subscribe to the alerts; return what gives the headlines of those since the last look."""
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        url = sqs.create_queue(QueueName="demo-alerts")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        topic = self.control.settings.alert_topic_arn
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
        )

        def since() -> list[str]:
            lines: list[str] = []
            while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in some:
                    lines.append(message["Body"].splitlines()[0])
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return lines

        return since

    def _told(self, alerts: Callable[[], list[str]], number: int) -> list[str]:
        """Return the alerts of a pass, which must be one for each finding."""
        seen: list[str] = []

        def all_told() -> bool:
            seen.extend(alerts())
            return len([line for line in seen if line.startswith("[FIRING]")]) >= number

        with self.tell.step("Each is told of once"):
            wait_for(f"{number} alerts", all_told)
            firing = [line for line in seen if line.startswith("[FIRING]")]
            if len(firing) != number:
                raise DemoFailed(f"{number} were to be told of, and it was {firing}")
        return firing

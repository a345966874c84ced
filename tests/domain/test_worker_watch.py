"""What a look at a running pool Worker means, and what mends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.worker import OVERWRITTEN, Role, Worker
from shared.domain.worker_watch import (
    Deployed,
    Mend,
    Trouble,
    diagnose,
    is_as_published,
    is_due,
    mend_of,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=60)
UID = "uid-1"


def worker(**changes: Any) -> Worker:
    fields: dict[str, Any] = {
        "script": "acme-pool-1",
        "role": Role.SHARD,
        "code": "c0de",
        "generation": 7,
        "published_generation": 7,
        "published_hash": "hash",
        "served_hash": "names",
        "published_at": NOW - timedelta(hours=1),
        "live_generation": 7,
        "created_at": NOW,
        "updated_at": NOW,
        "status_since": NOW,
    }
    return Worker(**(fields | changes))


def deployed(*, uid: str | None = UID, code: str | None = "c0de", **changes: Any) -> Deployed:
    texts = {"D1FLEET_FLEET_UID": uid, "D1FLEET_CODE": code, "D1FLEET_GENERATION": "7"}
    bindings = [
        {"type": "plain_text", "name": name, "text": text}
        for name, text in texts.items()
        if text is not None
    ]
    fields: dict[str, Any] = {"bindings": bindings, "newest": "v2", "shares": (("v2", 100.0),)}
    return Deployed(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, True),
        ({"generation": 8}, False),  # a publish is under way
        ({"generation": 0, "published_generation": 0, "live_generation": 0}, False),  # never was
        ({"published_hash": ""}, False),  # is asked for already
        ({"published_at": NOW - timedelta(seconds=59)}, False),
        ({"published_at": NOW - timedelta(seconds=60)}, True),
        ({"published_at": NOW - timedelta(seconds=299), "live_generation": 6}, False),
        ({"published_at": NOW - timedelta(seconds=300), "live_generation": 6}, True),
        ({"published_at": None}, True),
    ],
)
def test_a_worker_is_looked_at_when_it_should_be_live(changes: dict[str, Any], due: bool) -> None:
    """Not during a publish nor right after one, longer if nobody saw its generation yet."""
    assert is_due(worker(**changes), SETTLE, NOW) is due


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"generation": 6}, False),
        ({"generation": 8}, False),
        ({"code": "other"}, False),
        ({"bindings_hash": "fewer"}, False),
    ],
)
def test_generation_code_and_bindings_make_a_worker_right(
    changes: dict[str, Any], right: bool
) -> None:
    """Any of the three that differs is somebody else's work, or a write that came too late."""
    says = {"generation": 7, "code": "c0de", "bindings_hash": "names"} | changes
    assert is_as_published(worker(), **says) is right


@pytest.mark.parametrize(
    ("found", "answers", "trouble"),
    [
        (None, False, Trouble.MISSING),
        (deployed(uid="another"), True, Trouble.FOREIGN),
        (deployed(uid="another", shares=(("v1", 100.0),)), True, Trouble.FOREIGN),
        (deployed(uid=None, code=None), False, Trouble.OVERWRITTEN),
        (deployed(code="older"), True, Trouble.OVERWRITTEN),
        (deployed(shares=(("v1", 10.0), ("v2", 90.0))), True, Trouble.ROLLOUT),
        (deployed(uid=None, shares=(("v1", 90.0), ("v2", 10.0))), True, Trouble.ROLLOUT),
        (deployed(shares=(("v1", 100.0),)), True, Trouble.ROLLOUT),
        (deployed(has_address=False), False, Trouble.UNREACHABLE),
        (deployed(has_address=True), False, Trouble.UNANSWERED),
        (deployed(), False, Trouble.UNANSWERED),
        (deployed(), True, Trouble.NOT_LIVE),
        (deployed(newest=None, shares=()), True, Trouble.NOT_LIVE),
        (deployed(newest=None), True, Trouble.NOT_LIVE),
    ],
)
def test_what_cloudflare_keeps_tells_what_became_of_it(
    found: Deployed | None, answers: bool, trouble: Trouble
) -> None:
    """Script, texts, deployment and address are looked at in this order."""
    assert diagnose(worker(), UID, found, answers=answers) is trouble


def test_a_text_is_a_plain_one() -> None:
    """A secret or a database of the same name says nothing of whose a Worker is."""
    bindings = [{"type": "secret_text", "name": "D1FLEET_FLEET_UID"}]
    assert deployed(bindings=bindings).text("D1FLEET_FLEET_UID") is None


@pytest.mark.parametrize(
    ("trouble", "changes", "mend"),
    [
        (Trouble.NOT_LIVE, {}, Mend.REPUBLISH),
        (Trouble.ROLLOUT, {}, Mend.REPUBLISH),
        (Trouble.OVERWRITTEN, {}, Mend.UPLOAD),
        (Trouble.UNREACHABLE, {}, Mend.UPLOAD),
        (Trouble.MISSING, {}, Mend.RECREATE),
        (Trouble.FOREIGN, {}, Mend.NOTHING),
        (Trouble.REFUSED, {}, Mend.REPUBLISH),
        (Trouble.REFUSED, {"live_generation": 6}, Mend.NOTHING),
        (Trouble.UNANSWERED, {}, None),
        (Trouble.UNANSWERED, {"silent_since": NOW - timedelta(seconds=299)}, None),
        (Trouble.UNANSWERED, {"silent_since": NOW - timedelta(seconds=300)}, Mend.UPLOAD),
    ],
)
def test_each_trouble_has_its_mend(
    trouble: Trouble, changes: dict[str, Any], mend: Mend | None
) -> None:
    """A secret is put once, silence is waited out once, another fleet's Worker is left alone."""
    assert mend_of(trouble, worker(**changes), NOW) is mend


def test_a_mark_has_the_publisher_do_it() -> None:
    """Each mark changes what the publisher compares; a script that is gone is bound nowhere."""
    subject = worker(silent_since=NOW)
    assert subject.to_publish(NOW).published_hash == ""
    uploaded = subject.to_upload(NOW)
    assert (uploaded.code, uploaded.status, uploaded.silent_since) == (
        OVERWRITTEN,
        "uploaded",
        None,
    )
    gone = subject.to_recreate(NOW)
    assert (gone.code, gone.status, gone.remade) == ("", "new", 1)
    assert gone.to_recreate(NOW).remade == 2
    assert {uploaded.published_generation, gone.published_generation} == {7}

"""Secrets stay where they belong, and functions call only what they may, whatever happens."""

import json
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from tests.e2e_audit.places import files, places
from tests.e2e_audit.policies import allowed, by_lambda, matches, physical_names, rare, recorded
from tests.e2e_audit.story import SECRETS, Story
from tests.support.canaries import Canaries
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from tests.support.running import Running
from tests.support.stacks import behind_proxy

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

CANARIES = Canaries(SECRETS)
SETTINGS = {
    "POOL_TARGET": "1",
    "PUBLISH_SETTLE": "PT1S",
    "ACCESS_SETTLE": "PT1S",
    "LOG_LEVEL": "DEBUG",
    "AUTH_PROVIDERS": "clerk,standard,supabase,workos,auth0",
    "BILLING_PROVIDERS": "stripe,paddle,polar,standard",
    "STRIPE_API_URL": "http://127.0.0.1:9",
    "PADDLE_API_URL": "http://127.0.0.1:9",
    "POLAR_API_URL": "http://127.0.0.1:9",
}
Sent = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def sent() -> Sent:
    """Return what the functions sent so far: where, and the body."""
    return []


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Listen for alerts, as Slack, PagerDuty and a webhook's receiver."""
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, sent: Sent, receiver: Receiver
) -> Iterator[Story]:
    """Tell the whole story once, and leave the stack as it is then."""
    proxy = Proxy(tap=lambda where, body: sent.append((where, body)))
    folder = tmp_path_factory.mktemp("stack")
    settings = {
        **SETTINGS,
        "ALERT_ALLOW_PRIVATE": "true",
        "ALERT_PAGERDUTY_URL": receiver.url("/pagerduty"),
        "ALERT_WEBHOOK_URL": receiver.url("/webhook"),
    }
    name = "alerts/slack-url"
    secrets = {**SECRETS, name: receiver.url(SECRETS[name])}
    with behind_proxy(folder, proxy, settings, secrets=secrets) as stack:
        running = Running(stack)
        told = Story(stack, running, proxy)
        told()
        yield told
        running.close()
    proxy.stop()


def test_no_secret_is_left_anywhere(story: Story, sent: Sent) -> None:
    """Logs, table, queues, bucket, alerts, answers, command lines: none has any of the secrets."""
    seen = dict.fromkeys(where.split(" ")[0] for where, _ in places(story))
    assert set(seen) == {"file", "item", "message", "object", "command", "answer", "d1fleet"}
    assert CANARIES.find_all(places(story)) == []
    written = list(sent)
    assert CANARIES.find_all((where, where.encode()) for where, _ in written) == []
    # The bodies that go to Cloudflare are the Workers' own, with the router's admin secret.
    kept = [(where, body) for where, body in written if "/client/v4" not in where]
    assert len(kept) > 100
    assert CANARIES.find_all(kept) == []


def test_every_channel_hears_of_what_happened(story: Story, receiver: Receiver) -> None:
    """Through the functions, the secrets and the settings as `up` is given them."""
    for path in (SECRETS["alerts/slack-url"], "/pagerduty", "/webhook"):
        posted = receiver.at(path)
        assert posted, path
        assert all(b"[FIRING]" in each.body or b"[RESOLVED]" in each.body for each in posted)
    judge = Webhook(SECRETS["alerts/webhook-secret"])
    for each in receiver.at("/webhook"):
        judge.verify(each.body, dict(each.headers))


def test_secrets_are_found_where_they_belong(story: Story) -> None:
    """The search is not blind: it finds each in what `up` hands to clients, or Cloudflare keeps."""
    belong = [
        (path.name, path.read_bytes())
        for path in (story.stack.stack_file, *(story.stack.folder / "cloudflare").rglob("*"))
        if path.is_file()
    ]
    # for the functions alone
    inside = {name for name in SECRETS if name.endswith("-api-key") or name.startswith("alerts/")}
    assert {name for name, _ in CANARIES.find_all(belong)} == set(SECRETS) - inside
    assert story.stack.stack_file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_leaked_on_purpose_is_found(story: Story, name: str) -> None:
    """One line of a log, one item of the table: the same search finds either."""
    log = story.stack.folder / "logs" / "provision.log"
    before = log.read_bytes()
    log.write_bytes(before + json.dumps({"message": f"Bearer {SECRETS[name]}"}).encode() + b"\n")
    try:
        assert CANARIES.find_all(files(story)) == [(name, "file logs/provision.log")]
    finally:
        log.write_bytes(before)
    dynamodb, table = story.running.aws("dynamodb"), story.running.description["aws"]["table"]
    key = {"pk": {"S": "LEAK"}, "sk": {"S": "META"}}
    dynamodb.put_item(TableName=table, Item={**key, "token": {"S": SECRETS[name]}})
    try:
        found = CANARIES.find_all(places(story))
        assert [secret for secret, where in found if "LEAK" in where] == [name]
    finally:
        dynamodb.delete_item(TableName=table, Key=key)


def test_policies_allow_what_is_called_and_nothing_else(story: Story) -> None:
    """Each call is within its function's policy; each permission is used, or Lambda's own."""
    calls, names = recorded(story.stack), physical_names(story.stack)
    functions = {function for function, _, _ in calls}
    assert len(functions) == 6
    rules = {function: set(allowed(function, names)) for function in functions}
    excess = [call for call in calls if not any(matches(call[1:], r) for r in rules[call[0]])]
    assert not excess, excess
    idle = {
        (function, *rule)
        for function in functions
        for rule in rules[function]
        if not by_lambda(rule[0])
        and not rare(function, rule, names)
        and not any(call[0] == function and matches(call[1:], rule) for call in calls)
    }
    assert not idle, "\n".join(map(str, sorted(idle)))

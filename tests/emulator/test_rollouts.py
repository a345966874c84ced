"""Gradual rollouts: two versions of a Worker, each with its share of all calls."""

from collections import Counter
from typing import Any

import cloudflare
import httpx
import pytest

from tests.emulator.api import Api
from tests.emulator.test_wrangler import Wrangler, configure, project, wrangler

__all__ = ["project", "wrangler"]

pytestmark = pytest.mark.workerd

CALLED = """import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
class Room extends RpcTarget { constructor(name) { super(); this.name = name }
  say(word) { return word + " " + this.name } }
export class Named extends WorkerEntrypoint { enter() { return new Room("VERSION") } }
export default class extends WorkerEntrypoint {
  fetch() { return new Response("VERSION") }
  twice(n) { return "VERSION " + 2 * n } }"""
CALLER = """export default { async fetch(request, env) {
  const by = new URL(request.url).pathname.slice(1);
  try {
    if (by === "fetch") return await env.SVC.fetch("http://x/");
    if (by === "rpc") return new Response(await env.SVC.twice(4));
    return new Response(await env.NAMED.enter().say("from"));
  } catch (error) { return new Response("failed", { status: 500 }) } } }"""


def deploy(live: Api, name: str, *shares: tuple[str, float]) -> None:
    versions = [{"version_id": version, "percentage": share} for version, share in shares]
    live.result(
        "POST",
        f"/workers/scripts/{name}/deployments",
        json={"strategy": "percentage", "versions": versions},
    )
    assert live.emulator.settle()


def upload(live: Api, name: str, code: str) -> str:
    """Upload a version that nobody deployed yet."""
    answer = live.upload(name, code, verb="POST", path="/versions")
    assert answer.is_success, answer.text
    return str(answer.json()["result"]["id"])


def newest(live: Api, name: str) -> str:
    return str(live.result("GET", f"/workers/scripts/{name}/versions")["items"][0]["id"])


def seen(live: Api, path: str, times: int = 40) -> Counter[str]:
    with httpx.Client() as client:
        url = f"{live.emulator.workers_url}/{path}"
        return Counter(
            answer.text if (answer := client.get(url)).is_success else "failed"
            for _ in range(times)
        )


@pytest.fixture
def called(live: Api, request: Any) -> str:
    """A Worker with a first version, and another Worker that calls it in three ways."""
    name = f"called-{abs(hash(request.node.name)) % 10_000}"
    live.deploy(name, CALLED.replace("VERSION", "one"))
    services = [
        {"type": "service", "name": "SVC", "service": name},
        {"type": "service", "name": "NAMED", "service": name, "entrypoint": "Named"},
    ]
    live.deploy(f"{name}-caller", CALLER, *services)
    return name


def test_two_versions_share_the_calls(live: Api, called: str) -> None:
    """By its address, by fetch, by RPC and by a stub of a named entrypoint: both answer."""
    first = newest(live, called)
    second = upload(live, called, CALLED.replace("VERSION", "two"))
    deploy(live, called, (first, 50), (second, 50))
    assert set(seen(live, called)) == {"one", "two"}
    assert set(seen(live, f"{called}-caller/fetch")) == {"one", "two"}
    assert set(seen(live, f"{called}-caller/rpc")) == {"one 8", "two 8"}
    assert set(seen(live, f"{called}-caller/named")) == {"from one", "from two"}
    deploy(live, called, (second, 100))
    for path, answer in (("fetch", "two"), ("rpc", "two 8"), ("named", "from two")):
        assert set(seen(live, f"{called}-caller/{path}", 10)) == {answer}


def test_shares_are_kept_to(live: Api, called: str) -> None:
    """Ninety percent is most, and none is none."""
    first = newest(live, called)
    second = upload(live, called, CALLED.replace("VERSION", "two"))
    deploy(live, called, (first, 10), (second, 90))
    found = seen(live, called, 100)
    assert found["two"] > found["one"]
    deploy(live, called, (first, 100), (second, 0))
    assert set(seen(live, called)) == {"one"}


def test_a_version_that_lacks_what_is_called_fails_its_share(live: Api, called: str) -> None:
    """The other version goes on; so does every other Worker."""
    first = newest(live, called)
    hello = 'export default { fetch() { return new Response("hello") } }'
    second = upload(live, called, hello)
    deploy(live, called, (first, 50), (second, 50))
    assert set(seen(live, f"{called}-caller/rpc")) == {"one 8", "failed"}
    assert set(seen(live, f"{called}-caller/named")) == {"from one", "failed"}
    assert set(seen(live, called)) == {"one", "hello"}


def test_a_held_script_keeps_its_rollout(live: Api, called: str) -> None:
    """What runs when a hold begins runs on, both versions of it."""
    first = newest(live, called)
    second = upload(live, called, CALLED.replace("VERSION", "two"))
    deploy(live, called, (first, 50), (second, 50))
    live.control.post("/hold", json={"script": called, "hold": True})
    deploy(live, called, (second, 100))
    assert set(seen(live, called)) == {"one", "two"}
    live.control.post("/hold", json={"script": called, "hold": False})
    assert live.emulator.settle()
    assert set(seen(live, called)) == {"two"}


def test_wrangler_and_the_sdk_roll_out(
    live: Api, sdk: cloudflare.Cloudflare, wrangler: Wrangler, project: Any
) -> None:
    """`wrangler versions deploy` splits, the SDK sees both shares; an upload ends it at 100 %."""
    configure(project, name="gradual")
    (project / "i.js").write_text(CALLED.replace("VERSION", "one"))
    wrangler("deploy")
    first = newest(live, "gradual")
    (project / "i.js").write_text(CALLED.replace("VERSION", "two"))
    wrangler("versions", "upload")
    second = newest(live, "gradual")
    wrangler("versions", "deploy", f"{first}@75%", f"{second}@25%", "--yes")
    answer = sdk.workers.scripts.deployments.with_raw_response.list(
        "gradual", account_id=live.emulator.account.account_id
    )
    active = answer.http_response.json()["result"]["deployments"][0]["versions"]
    assert {each["version_id"]: each["percentage"] for each in active} == {first: 75, second: 25}
    assert live.emulator.settle()
    assert set(seen(live, "gradual", 60)) == {"one", "two"}
    assert live.patch("gradual", {"bindings": []}).json()["errors"][0]["code"] == 10214
    wrangler("deploy")
    assert live.emulator.settle()
    assert set(seen(live, "gradual")) == {"two"}


def test_a_bound_worker_that_was_deleted_fails_until_it_is_made_again(
    live: Api, called: str
) -> None:
    """Its callers get an error, nobody else does; a new script of that name is found again."""
    assert live.refusal("DELETE", f"/workers/scripts/{called}") == (400, 10142)
    live.result("DELETE", f"/workers/scripts/{called}", params={"force": "true"})
    assert live.emulator.settle()
    for way in ("fetch", "rpc", "named"):
        assert live.worker(f"{called}-caller/{way}").status_code == 500
    assert live.worker(called).status_code == 404
    assert live.patch(
        f"{called}-caller", {"bindings": [{"type": "inherit", "name": "SVC"}]}
    ).is_success
    outright = {"type": "service", "name": "SVC", "service": called}
    refused = live.patch(f"{called}-caller", {"bindings": [outright]})
    assert refused.json()["errors"][0]["code"] == 10144
    live.deploy(called, CALLED.replace("VERSION", "new"))
    assert live.worker(f"{called}-caller/fetch").text == "new"

import collections
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from local.cloudflare import Emulator
from tests.emulator.api import Api

Background = Callable[[Callable[[], None]], Callable[[], None]]

GENERATION = """export default { async fetch(request, env) {
  if (request.url.endsWith("/slow")) await scheduler.wait(700);
  return Response.json({ url: new URL(request.url).pathname, generation: env.G });
} }"""
COUNT = """export default { async fetch(_, env) {
  try { return Response.json((await env.DB.prepare("select count(*) as n from t").all()).results) }
  catch (error) { return new Response(error.message, { status: 500 }) } } }"""


def text(name: str, value: str) -> dict[str, str]:
    return {"type": "plain_text", "name": name, "text": value}


def d1(uuid: str, name: str = "DB") -> dict[str, str]:
    return {"type": "d1", "name": name, "database_id": uuid}


def test_a_worker_answers_from_its_database(live: Api) -> None:
    """See through a binding what the API wrote, and through the API what a binding wrote."""
    uuid = live.database("shared")
    live.query(uuid, "create table t(a)")
    code = """export default { async fetch(_, env) {
      await env.DB.batch([1, 2].map((n) => env.DB.prepare("insert into t values (?)").bind(n)));
      return new Response("done") } }"""
    live.deploy("writer", code, d1(uuid))
    assert live.worker("writer/").text == "done"
    assert live.query(uuid, "select a from t") == [[{"a": 1}, {"a": 2}]]


def test_every_kind_of_binding_that_runs(live: Api) -> None:
    """Give a Worker its text, its secret, its JSON, and other Workers by fetch and by RPC."""
    other = """import { WorkerEntrypoint } from "cloudflare:workers";
      export class Named extends WorkerEntrypoint { add(a, b) { return a + b } }
      export default class extends WorkerEntrypoint {
        fetch() { return new Response("fetched") }
        twice(n) { return 2 * n } }"""
    live.deploy("callee", other)
    code = """import { Buffer } from "node:buffer";
      export default { async fetch(_, env) { return Response.json([
        env.T, env.S, env.J.a, await (await env.SVC.fetch("http://x/")).text(),
        await env.SVC.twice(4), await env.NAMED.add(1, 2), Buffer.from("x").toString("hex")]) } }"""
    live.deploy(
        "caller",
        code,
        text("T", 'quotes " \\ and\nlines, ü'),
        {"type": "secret_text", "name": "S", "text": "hush"},
        {"type": "json", "name": "J", "json": {"a": [1, None]}},
        {"type": "service", "name": "SVC", "service": "callee"},
        {"type": "service", "name": "NAMED", "service": "callee", "entrypoint": "Named"},
        compatibility_flags=["nodejs_compat"],
    )
    expected = ['quotes " \\ and\nlines, ü', "hush", [1, None], "fetched", 8, 3, "78"]
    assert live.worker("caller/").json() == expected


def test_modules_import_each_other(live: Api) -> None:
    """Run an upload of several modules, text and JSON among them."""
    metadata = '{"main_module": "i.js", "compatibility_date": "2026-04-01"}'
    main = (
        'import { a } from "./lib/a.js"; import words from "./words.txt";'
        "export default { fetch() { return new Response(a + words) } }"
    )
    module = "application/javascript+module"
    files = [
        ("metadata", (None, metadata, "application/json")),
        ("files", ("lib/a.js", "export const a = 'from a, '", module)),
        ("files", ("words.txt", "from a file", "text/plain")),
        ("files", ("i.js", main, module)),
    ]
    live.result("PUT", "/workers/scripts/modular", files=files)
    live.result("POST", "/workers/scripts/modular/subdomain", json={"enabled": True})
    assert live.emulator.settle()
    assert live.worker("modular").text == "from a, from a file"


def test_only_an_enabled_worker_has_an_address(live: Api) -> None:
    """Answer 404 for an unknown Worker and for one whose subdomain is disabled."""
    live.deploy("public", GENERATION, text("G", "1"))
    assert live.worker("public/a/b?c=1").json() == {"url": "/a/b", "generation": "1"}
    live.result("POST", "/workers/scripts/public/subdomain", json={"enabled": False})
    assert live.emulator.settle()
    assert live.worker("public").status_code == 404
    assert live.worker("nobody").status_code == 404
    assert live.worker("").status_code == 404
    live.result("POST", "/workers/scripts/public/subdomain", json={"enabled": True})
    assert live.emulator.settle()
    assert live.worker("public").status_code == 200
    live.result("DELETE", "/workers/scripts/public")
    assert live.emulator.settle()
    assert live.worker("public").status_code == 404


def test_a_request_passes_the_switch_whole(live: Api) -> None:
    """Forward method, headers, body and query, and the answer's status, headers and cookies."""
    code = """export default { async fetch(request) {
      const headers = new Headers({ "x-was": request.method + request.headers.get("x-own") });
      headers.append("set-cookie", "a=1"); headers.append("set-cookie", "b=2");
      return new Response(request.body, { status: 418, headers }) } }"""
    live.deploy("echo", code)
    body = bytes(range(256)) * 4000
    url = f"{live.emulator.workers_url}/echo/x"
    answer = httpx.put(url, content=body, headers={"x-own": "!"})
    assert answer.status_code == 418
    assert answer.headers["x-was"] == "PUT!"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.content == body
    assert httpx.post(url, content=iter([b"chun", b"ked"])).content == b"chunked"
    assert httpx.head(url).status_code == 418


@pytest.mark.parametrize(
    "code",
    [
        "export default {{",
        "throw new Error('at start'); export default { fetch() {} }",
        "import './missing.js'; export default { fetch() {} }",
        "import 'node:fs'; export default { fetch() {} }",
    ],
)
def test_a_script_that_does_not_start_is_refused(live: Api, code: str) -> None:
    """Answer 10021 with what is wrong, make no version, and leave the other Workers alone."""
    live.deploy("healthy", GENERATION, text("G", "1"))
    answer = live.upload("healthy", code, {"bindings": [text("G", "2")]})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == 10021
    assert "Uncaught" in error["message"]
    assert live.emulator.settle()
    assert live.worker("healthy").json()["generation"] == "1"
    assert live.refusal("GET", "/workers/services/broken") == (404, 10090)


def test_an_unknown_compatibility_flag_is_refused(live: Api) -> None:
    """Answer 10021, in uploads and in settings."""
    live.deploy("flagged", GENERATION, text("G", "1"))
    answer = live.upload("flagged", GENERATION, {"compatibility_flags": ["no_such_flag"]})
    assert answer.json()["errors"][0]["code"] == 10021
    answer = live.patch("flagged", {"compatibility_flags": ["no_such_flag"]})
    assert answer.json()["errors"][0]["code"] == 10021


def test_a_missing_entrypoint_harms_only_its_user(live: Api) -> None:
    """Run everything else, and fail where the binding is used."""
    live.deploy("plain", GENERATION, text("G", "1"))
    code = """export default { async fetch(_, env) {
      try { return new Response(await env.SVC.anything()) }
      catch (error) { return new Response("failed: " + error.message, { status: 500 }) } } }"""
    service = {"type": "service", "name": "SVC", "service": "plain", "entrypoint": "Nowhere"}
    live.deploy("hopeful", code, service)
    assert live.worker("hopeful").text.startswith("failed: ")
    assert live.worker("plain").status_code == 200


def test_a_deleted_database_fails_its_bindings(live: Api) -> None:
    """Fail the queries of a Worker that still binds it, and refuse to bind it again."""
    uuid = live.database("leaving")
    live.query(uuid, "create table t(a)")
    live.deploy("bound", COUNT, d1(uuid))
    assert live.worker("bound").json() == [{"n": 0}]
    live.result("DELETE", f"/d1/database/{uuid}")
    answer = live.worker("bound")
    assert answer.status_code == 500
    assert "could not be found" in answer.text
    refused = live.patch("bound", {"bindings": [d1(uuid)]})
    assert refused.json()["errors"][0]["code"] == 10181
    assert live.patch("bound", {"bindings": [{"type": "inherit", "name": "DB"}]}).is_success


def test_a_thousand_bindings_run(live: Api) -> None:
    """Serve the first and the last of a thousand databases from one Worker."""
    first, last = live.database("first"), live.database("last")
    live.query(first, "create table t(a)")
    live.query(last, "create table t(a); insert into t values (1)")
    bindings = [d1(last if number == 999 else first, f"DB_{number}") for number in range(1000)]
    code = COUNT.replace("env.DB.", "env[new URL(_.url).pathname.slice(1)].")
    live.deploy("thousand", code, *bindings)
    assert live.worker("thousand/DB_0").json() == [{"n": 0}]
    assert live.worker("thousand/DB_999").json() == [{"n": 1}]


def test_no_request_is_dropped_while_generations_change(
    live: Api, in_background: Background
) -> None:
    """Answer every request over kept-alive connections through six generations, slow ones too."""
    live.deploy("busy", GENERATION, text("G", "0"))
    seen: collections.Counter[str] = collections.Counter()
    problems: list[str] = []
    clients = [httpx.Client(base_url=live.emulator.workers_url, timeout=30) for _ in range(4)]

    def work(client: httpx.Client, path: str) -> Callable[[], None]:
        def ask() -> None:
            try:
                answer = client.get(path)
                answer.raise_for_status()
                seen[answer.json()["generation"]] += 1
            except httpx.HTTPError as error:
                problems.append(repr(error))

        return ask

    stops = [
        in_background(work(client, path))
        for client, path in zip(clients, ["busy/", "busy/", "busy/", "busy/slow"], strict=True)
    ]
    for generation in range(1, 7):
        assert live.patch("busy", {"bindings": [text("G", str(generation))]}).is_success
        assert live.emulator.settle()
        before = seen[str(generation)]
        wait_until(lambda g=str(generation), b=before: seen[g] > b + 2)
    for stop in stops:
        stop()
    assert problems == []
    assert set(seen) == {str(generation) for generation in range(7)}
    for client in clients:
        client.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    waiter = threading.Event()
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        waiter.wait(0.02)
    raise AssertionError("did not happen in time")


def test_bursts_of_changes_share_generations(live: Api) -> None:
    """Start far fewer fronts than there were changes, and end at the last."""
    live.deploy("burst", GENERATION, text("G", "0"))
    before = live.emulator.fronts.started
    for number in range(1, 41):
        assert live.patch("burst", {"bindings": [text("G", str(number))]}).is_success
    assert live.emulator.settle()
    assert live.worker("burst").json()["generation"] == "40"
    assert live.emulator.fronts.started - before < 30


def test_a_held_worker_stays_at_its_generation(live: Api) -> None:
    """Keep a held Worker as it runs while others go on, and bring it up when released."""
    live.deploy("held", GENERATION, text("G", "1"))
    live.deploy("free", GENERATION, text("G", "1"))
    assert live.control.post("/hold", json={"script": "held", "hold": True}).is_success
    for script in ("held", "free"):
        assert live.patch(script, {"bindings": [text("G", "2")]}).is_success
    assert live.emulator.settle()
    assert live.bindings("held") == [text("G", "2")]
    assert live.worker("held").json()["generation"] == "1"
    assert live.worker("free").json()["generation"] == "2"
    live.control.post("/hold", json={"script": "held", "hold": False})
    settled = live.control.post("/settle", json={}).json()
    assert settled == {"settled": True}
    assert live.worker("held").json()["generation"] == "2"


def test_a_worker_held_before_it_exists_does_not_run(live: Api) -> None:
    """Keep it at nothing until released."""
    live.control.post("/hold", json={"script": "unborn", "hold": True})
    live.deploy("unborn", GENERATION, text("G", "1"))
    assert live.worker("unborn").status_code == 404
    live.control.post("/hold", json={"script": "unborn", "hold": False})
    assert live.emulator.settle()
    assert live.worker("unborn").status_code == 200


def runtimes(emulator: Emulator) -> list[psutil.Process]:
    folder = str(emulator._run)
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(folder in part for part in process.info["cmdline"] or [])
    ]


def test_a_crashed_front_or_host_is_replaced(tmp_path: Path) -> None:
    """Come back after the processes of the running Workers and of the databases were killed."""
    with Emulator(tmp_path).start() as emulator:
        api = Api(emulator)
        uuid = api.database("sturdy")
        api.query(uuid, "create table t(a)")
        api.deploy("sturdy", COUNT, d1(uuid))
        for process in runtimes(emulator):
            process.kill()

        def answers() -> bool:
            try:
                return api.worker("sturdy").status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(lambda: not answers())
        wait_until(answers)
        assert api.query(uuid, "select count(*) as n from t") == [[{"n": 0}]]
        api.close()


def test_workers_run_again_after_a_restart_and_nothing_is_left(tmp_path: Path) -> None:
    """Run what was deployed when started again; leave no process when stopped."""
    first = Emulator(tmp_path).start()
    api = Api(first)
    api.deploy("lasting", GENERATION, text("G", "1"))
    api.close()
    workerds = runtimes(first)
    assert len(workerds) >= 2
    left = {workerds[0].parent(), *workerds}
    first.stop()
    assert not any(process is not None and process.is_running() for process in left)
    with Emulator(tmp_path).start() as second:
        url = f"{second.workers_url}/lasting"
        assert httpx.get(url).json()["generation"] == "1"


def test_the_state_holds_no_open_configuration(live: Api) -> None:
    """Remove a front's configuration, which has the Workers' secrets, once it has started."""
    secret: dict[str, Any] = {"type": "secret_text", "name": "S", "text": "canary-in-config"}
    live.deploy("secretive", GENERATION, text("G", "1"), secret)
    for path in live.emulator._run.iterdir():
        assert b"canary-in-config" not in path.read_bytes()

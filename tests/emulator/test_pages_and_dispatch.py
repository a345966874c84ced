import json
from pathlib import Path
from typing import Any

from local.cloudflare import Emulator
from tests.emulator.api import Api

NAMESPACES = "/workers/dispatch/namespaces"
ANSWER = """export default { async fetch(_, env) {
  return Response.json((await env.DB.prepare("select a from t").all()).results) } }"""
DISPATCHER = """export default { async fetch(request, env) {
  try { return await env.DISPATCH.get(new URL(request.url).pathname.slice(1)).fetch(request) }
  catch (error) { return new Response(error.message, { status: 404 }) } } }"""


def put(api: Api, namespace: str, script: str, code: str, **metadata: Any) -> Any:
    fields = {"main_module": "i.js", "compatibility_date": "2026-04-01", **metadata}
    files = {
        "metadata": (None, json.dumps(fields), "application/json"),
        "i.js": ("i.js", code, "application/javascript+module"),
    }
    return api.result("PUT", f"{NAMESPACES}/{namespace}/scripts/{script}", files=files)


def test_a_dispatcher_reaches_each_tenants_script(live: Api) -> None:
    """Answer by the script that is named at run time, each with its own database."""
    live.result("POST", NAMESPACES, json={"name": "prod"})
    for tenant in ("one", "two"):
        uuid = live.database(f"dispatch-{tenant}")
        live.query(uuid, f"create table t(a); insert into t values ('{tenant}')")
        binding = {"type": "d1", "name": "DB", "database_id": uuid}
        put(live, "prod", tenant, ANSWER, bindings=[binding], tags=[tenant])
    binding = {"type": "dispatch_namespace", "name": "DISPATCH", "namespace": "prod"}
    live.deploy("dispatcher", DISPATCHER, binding)
    assert live.worker("dispatcher/one").json() == [{"a": "one"}]
    assert live.worker("dispatcher/two").json() == [{"a": "two"}]
    missing = live.worker("dispatcher/three")
    assert (missing.status_code, missing.text) == (404, "Worker not found.")
    live.result("DELETE", f"{NAMESPACES}/prod/scripts", params={"tags": "two:yes"})
    assert live.emulator.settle()
    assert live.worker("dispatcher/two").status_code == 404
    assert live.worker("dispatcher/one").status_code == 200


def test_namespaces_keep_scripts_apart(quiet: Api) -> None:
    """Keep scripts of one name in several namespaces, and refuse what is not there."""
    for name in ("a", "b"):
        assert quiet.result("POST", NAMESPACES, json={"name": name})["script_count"] == 0
        text = {"type": "plain_text", "name": "T", "text": name}
        put(quiet, name, "same", ANSWER, bindings=[text])
    path = f"{NAMESPACES}/a/scripts/same"
    assert quiet.result("GET", f"{path}/settings")["bindings"][0]["text"] == "a"
    part = {"settings": (None, json.dumps({"bindings": []}), "application/json")}
    assert quiet.result("PATCH", f"{path}/settings", files=part)["bindings"] == []
    assert len(quiet.result("GET", f"{NAMESPACES}/b/scripts/same/bindings")) == 1
    assert quiet.result("PUT", f"{path}/tags", json=["x"]) == ["x"]
    assert quiet.result("GET", f"{NAMESPACES}/a/scripts", params={"tags": "x:no"}) == []
    assert quiet.result("GET", path)["dispatch_namespace"] == "a"
    assert quiet.refusal("POST", NAMESPACES, json={"name": "a"}) == (409, 100120)
    assert quiet.refusal("GET", f"{NAMESPACES}/none") == (404, 100119)
    assert quiet.refusal("GET", f"{NAMESPACES}/a/scripts/none") == (404, 10007)
    assert quiet.result("GET", "/workers/scripts") == []
    quiet.result("DELETE", f"{NAMESPACES}/a")
    assert [item["namespace_name"] for item in quiet.result("GET", NAMESPACES)] == ["b"]


def patch(api: Api, config: dict[str, Any]) -> dict[str, Any]:
    body = {"deployment_configs": {"production": config}}
    shown: dict[str, Any] = api.result("PATCH", "/pages/projects/site", json=body)
    return dict(shown["deployment_configs"]["production"])


def test_a_pages_project_merges_its_bindings(quiet: Api) -> None:
    """Merge key by key, delete by null, keep what is not named, and show no secret."""
    quiet.result("POST", "/pages/projects", json={"name": "site", "production_branch": "main"})
    patch(quiet, {"d1_databases": {"A": {"id": "1"}, "B": {"id": "2"}}})
    found = patch(quiet, {"d1_databases": {"A": None, "C": {"id": "3"}}})
    assert found["d1_databases"] == {"B": {"id": "2"}, "C": {"id": "3"}}
    found = patch(quiet, {"env_vars": {"S": {"type": "secret_text", "value": "hush"}}})
    assert found["d1_databases"] == {"B": {"id": "2"}, "C": {"id": "3"}}
    assert "hush" not in json.dumps(found)
    assert quiet.refusal("POST", "/pages/projects", json={"name": "site"}) == (409, 8000002)
    assert quiet.refusal("GET", "/pages/projects/none") == (404, 8000007)


def test_a_pages_binding_takes_effect_with_a_deployment(quiet: Api) -> None:
    """Capture bindings at the deployment; a retry makes a new one, stage by stage."""
    quiet.result("POST", "/pages/projects", json={"name": "site", "source": {"type": "github"}})
    base = "/pages/projects/site/deployments"
    first = quiet.result("POST", base)
    assert first["latest_stage"]["name"] == "queued"
    patch(quiet, {"d1_databases": {"A": {"id": "1"}}})
    second = quiet.result("POST", f"{base}/{first['id']}/retry")
    seen = []
    for _ in range(5):
        second = quiet.result("GET", f"{base}/{second['id']}")
        seen.append((second["latest_stage"]["name"], second["latest_stage"]["status"]))
    assert seen[0] == ("initialize", "active")
    assert seen[-1] == ("deploy", "success")
    captured = {
        item["id"]: item["bindings"].get("d1_databases")
        for item in quiet.emulator.pages.get("site")["deployments"]
    }
    assert captured == {first["id"]: None, second["id"]: {"A": {"id": "1"}}}
    project = quiet.result("GET", "/pages/projects/site")
    assert project["canonical_deployment"]["id"] == second["id"]
    assert quiet.refusal("DELETE", f"{base}/{second['id']}") == (400, 8000034)
    quiet.result("DELETE", f"{base}/{first['id']}")
    assert quiet.refusal("GET", f"{base}/{first['id']}") == (404, 8000009)


def test_pages_and_namespaces_outlive_a_restart(tmp_path: Path) -> None:
    """Find both again in the folder of an emulator that was stopped."""
    with Emulator(tmp_path) as emulator:
        api = Api(emulator, wsgi=True)
        api.result("POST", "/pages/projects", json={"name": "site"})
        api.result("POST", NAMESPACES, json={"name": "prod"})
        put(api, "prod", "one", ANSWER)
    with Emulator(tmp_path) as emulator:
        api = Api(emulator, wsgi=True)
        assert [item["name"] for item in api.result("GET", "/pages/projects")] == ["site"]
        assert api.result("GET", f"{NAMESPACES}/prod")["script_count"] == 1

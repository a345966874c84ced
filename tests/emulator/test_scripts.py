import json
from pathlib import Path
from typing import Any

import pytest

from local.cloudflare import Emulator
from tests.emulator.api import Api

CODE = "export default { fetch() { return new Response('hi') } }"
TEXT = {"type": "plain_text", "name": "T", "text": "t"}
SECRET = {"type": "secret_text", "name": "S", "text": "hush"}


def make(api: Api, *bindings: dict[str, Any], name: str = "app", **metadata: Any) -> Any:
    answer = api.upload(name, CODE, {"bindings": list(bindings), **metadata})
    assert answer.is_success, answer.text
    return answer.json()["result"]


def d1(uuid: str, name: str = "DB", key: str = "database_id") -> dict[str, str]:
    return {"type": "d1", "name": name, key: uuid}


def code_of(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json()["errors"][0]["code"]


@pytest.mark.parametrize("key", ["id", "database_id"])
def test_a_d1_binding_has_both_keys(quiet: Api, key: str) -> None:
    """Take either key of the database's uuid, and show both."""
    uuid = quiet.database("one")
    make(quiet, d1(uuid, key=key))
    (binding,) = quiet.bindings("app")
    assert binding == {"type": "d1", "name": "DB", "id": uuid, "database_id": uuid}


def test_secrets_are_never_shown(quiet: Api) -> None:
    """Leave a secret's value out of every answer of the API."""
    make(quiet, SECRET)
    version = quiet.result("GET", "/workers/scripts/app/versions")["items"][0]["id"]
    put = {"name": "S2", "type": "secret_text", "text": "hush2"}
    answers = [
        quiet("PUT", "/workers/scripts/app/secrets", json=put),
        quiet("GET", "/workers/scripts/app/secrets"),
        quiet("GET", "/workers/scripts/app/secrets/S"),
        quiet("GET", "/workers/scripts/app/settings"),
        quiet("GET", "/workers/scripts/app/bindings"),
        quiet("GET", f"/workers/scripts/app/versions/{version}"),
        quiet("GET", "/workers/scripts/app"),
        quiet("GET", "/workers/services/app"),
    ]
    assert all(answer.is_success for answer in answers)
    assert all("hush" not in answer.text for answer in answers)
    assert [item["name"] for item in answers[1].json()["result"]] == ["S", "S2"]


def test_a_patch_replaces_all_bindings(quiet: Api) -> None:
    """Drop what is not named, secrets too; without `bindings` leave them be."""
    make(quiet, TEXT, SECRET)
    assert quiet.patch("app", {"logpush": True}).is_success
    assert [item["name"] for item in quiet.bindings("app")] == ["T", "S"]
    other = {"type": "json", "name": "J", "json": {"a": [1]}}
    assert quiet.patch("app", {"bindings": [other]}).is_success
    assert quiet.bindings("app") == [other]
    assert quiet.result("GET", "/workers/scripts/app/settings")["logpush"] is True


def test_inherited_bindings_keep_their_values(quiet: Api) -> None:
    """Inherit by name and by old name; drop silently what cannot be inherited."""
    uuid = quiet.database("one")
    make(quiet, TEXT, SECRET, d1(uuid))
    bindings = [
        {"type": "inherit", "name": "S"},
        {"type": "inherit", "name": "T2", "old_name": "T"},
        {"type": "inherit", "name": "DB", "version_id": "latest"},
        {"type": "inherit", "name": "NEVER"},
    ]
    assert quiet.patch("app", {"bindings": bindings}).is_success
    found = quiet.bindings("app")
    assert [item["name"] for item in found] == ["S", "T2", "DB"]
    assert found[1]["text"] == "t"
    secret = quiet.emulator.scripts.latest("app").binding("S")
    assert secret is not None
    assert secret["text"] == "hush"


def test_an_old_version_can_be_inherited_from(quiet: Api) -> None:
    """Take a binding from the version that is named."""
    make(quiet, TEXT)
    first = quiet.result("GET", "/workers/scripts/app/versions")["items"][0]["id"]
    assert quiet.patch("app", {"bindings": []}).is_success
    old = {"type": "inherit", "name": "T", "version_id": first}
    assert quiet.patch("app", {"bindings": [old]}).is_success
    assert quiet.bindings("app") == [TEXT]


@pytest.mark.parametrize(
    ("binding", "code"),
    [
        ({"type": "secret_text", "name": "S"}, 10021),
        ({"type": "plain_text", "name": "T"}, 10021),
        ({"type": "plain_text", "name": "no-identifier", "text": ""}, 10021),
        ({"type": "plain_text", "name": "1x", "text": ""}, 10021),
        ({"type": "plain_text", "text": ""}, 10021),
        ({"type": "telepathy", "name": "T"}, 10021),
        ({"name": "T"}, 10021),
        ("T", 10021),
        ({"type": "d1", "name": "DB"}, 10021),
        ({"type": "d1", "name": "DB", "database_id": "gone"}, 10181),
        ({"type": "service", "name": "SVC", "service": "nobody"}, 10144),
        ({"type": "service", "name": "SVC"}, 10021),
        ({"type": "dispatch_namespace", "name": "D", "namespace": "none"}, 100119),
        ({"type": "plain_text", "name": "T", "text": "x" * 5121}, 10054),
    ],
)
def test_a_wrong_binding_fails_the_whole_call(quiet: Api, binding: Any, code: int) -> None:
    """Answer 400 with the code of the fault, through upload and PATCH, and change nothing."""
    make(quiet, TEXT)
    assert code_of(quiet.patch("app", {"bindings": [binding]})) == (400, code)
    assert code_of(quiet.upload("app", CODE, {"bindings": [binding]})) == (400, code)
    assert quiet.bindings("app") == [TEXT]
    assert len(quiet.result("GET", "/workers/scripts/app/versions")["items"]) == 1


def test_names_of_bindings_are_unique(quiet: Api) -> None:
    """Refuse one name twice, whatever the types."""
    make(quiet)
    twice = [TEXT, {"type": "json", "name": "T", "json": 1}]
    assert code_of(quiet.patch("app", {"bindings": twice})) == (400, 10021)


def test_a_script_takes_about_five_thousand_bindings(quiet: Api) -> None:
    """Take 5,000 D1 bindings, refuse one more; and refuse too many variables."""
    uuid = quiet.database("one")
    make(quiet)
    many = [d1(uuid, f"DB_{number}") for number in range(5001)]
    assert quiet.patch("app", {"bindings": many[:5000]}).is_success
    assert code_of(quiet.patch("app", {"bindings": many})) == (400, 10021)
    assert len(quiet.bindings("app")) == 5000
    texts = [{**TEXT, "name": f"T{number}"} for number in range(129)]
    assert code_of(quiet.patch("app", {"bindings": texts})) == (400, 10055)


def test_settings_come_as_a_multipart_part(quiet: Api) -> None:
    """Refuse JSON with 10001, a missing part with 10201, a part that is no object with 10021."""
    make(quiet)
    path = "/workers/scripts/app/settings"
    assert quiet.refusal("PATCH", path, json={"bindings": []}) == (400, 10001)
    other = {"other": (None, "{}", "application/json")}
    assert quiet.refusal("PATCH", path, files=other) == (400, 10201)
    for text in ("[]", "{"):
        part = {"settings": (None, text, "application/json")}
        assert quiet.refusal("PATCH", path, files=part) == (400, 10021)
    as_file = {"settings": ("settings.json", json.dumps({"bindings": [TEXT]}), "application/json")}
    assert quiet.result("PATCH", path, files=as_file)["bindings"] == [TEXT]


def test_an_upload_keeps_types_it_names_and_secrets(quiet: Api) -> None:
    """Keep secrets always, other types when named, and let what is uploaded win."""
    uuid = quiet.database("one")
    make(quiet, TEXT, SECRET, d1(uuid))
    make(quiet)
    assert [item["name"] for item in quiet.bindings("app")] == ["S"]
    make(quiet, TEXT, d1(uuid))
    make(quiet, {**TEXT, "text": "new"}, keep_bindings=["d1", "plain_text"])
    assert {item["name"]: item.get("text") for item in quiet.bindings("app")} == {
        "T": "new",
        "S": None,
        "DB": None,
    }


def test_strict_uploads_refuse_what_cannot_be_inherited(quiet: Api) -> None:
    """Answer 10057 with `bindings_inherit=strict`, drop silently without."""
    make(quiet, TEXT)
    wish = {"bindings": [{"type": "inherit", "name": "T"}, {"type": "inherit", "name": "NEVER"}]}
    assert code_of(quiet.upload("app", CODE, wish, strict=True)) == (400, 10057)
    assert quiet.upload("app", CODE, wish).is_success
    assert quiet.bindings("app") == [TEXT]


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"main_module": "other.js"}, 10021),
        ({"main_module": None}, 10021),
        ({"bindings": {}}, 10021),
        ({"compatibility_date": "tomorrow"}, 10021),
        ({"compatibility_date": "2999-01-01"}, 10021),
        ({"compatibility_flags": "nodejs_compat"}, 10021),
        ({"annotations": {"workers/tag": "x" * 101}}, 10021),
    ],
)
def test_a_wrong_upload_is_refused(quiet: Api, metadata: dict[str, Any], code: int) -> None:
    """Answer 400 and make no script."""
    assert code_of(quiet.upload("app", CODE, metadata)) == (400, code)
    assert quiet.result("GET", "/workers/scripts") == []


def test_a_script_needs_a_proper_name(quiet: Api) -> None:
    """Answer 10016."""
    assert code_of(quiet.upload("No.Name", CODE)) == (400, 10016)


def test_an_uploaded_version_waits_for_its_deployment(quiet: Api) -> None:
    """Refuse settings (10214) and secrets (10215) until the newest version is deployed."""
    make(quiet, TEXT)
    made = quiet.upload("app", CODE, verb="POST", path="/versions").json()["result"]
    assert made["number"] == 2
    assert code_of(quiet.patch("app", {"bindings": []})) == (400, 10214)
    secret = {"name": "S", "type": "secret_text", "text": "x"}
    assert quiet.refusal("PUT", "/workers/scripts/app/secrets", json=secret) == (400, 10215)
    first = quiet.result("GET", "/workers/scripts/app/versions")["items"][1]["id"]
    path = "/workers/scripts/app/deployments"
    shares = [(made["id"], 10), (first, 90)]
    body = {
        "strategy": "percentage",
        "versions": [{"version_id": v, "percentage": p} for v, p in shares],
    }
    quiet.result("POST", path, json=body)
    assert code_of(quiet.patch("app", {"bindings": []})) == (400, 10214)
    body["versions"] = [{"version_id": made["id"], "percentage": 100}]
    deployed = quiet.result("POST", path, json=body)
    assert quiet.result("GET", path)["deployments"][0] == deployed
    assert quiet.result("GET", f"{path}/{deployed['id']}") == deployed
    assert quiet.patch("app", {"bindings": []}).is_success


@pytest.mark.parametrize(
    "versions",
    [
        [],
        [{"version_id": "x", "percentage": 50}],
        [{"version_id": "x"}],
        ["x"],
        [{"version_id": "x", "percentage": 40}] * 3,
    ],
)
def test_a_wrong_deployment_is_refused(quiet: Api, versions: Any) -> None:
    """Answer 400 with 10021 when the shares do not make 100."""
    make(quiet)
    body = {"strategy": "percentage", "versions": versions}
    path = "/workers/scripts/app/deployments"
    assert quiet.refusal("POST", path, json=body) == (400, 10021)
    unknown = {"strategy": "percentage", "versions": [{"version_id": "x", "percentage": 100}]}
    assert quiet.refusal("POST", path, json=unknown) == (404, 10007)


def test_every_change_is_a_version_deployed_at_once(quiet: Api) -> None:
    """Make a version of each upload, PATCH and secret; show its annotations, inherit none."""
    make(quiet)
    notes = {"workers/message": "bind", "workers/tag": "op-1"}
    assert quiet.patch("app", {"bindings": [TEXT], "annotations": notes}).is_success
    assert quiet.result("GET", "/workers/scripts/app/settings")["annotations"] == notes
    secret = {"name": "S", "type": "secret_text", "text": "x"}
    quiet.result("PUT", "/workers/scripts/app/secrets", json=secret)
    quiet.result("DELETE", "/workers/scripts/app/secrets/S")
    items = quiet.result("GET", "/workers/scripts/app/versions", params={"deployable": "true"})
    assert [item["number"] for item in items["items"]] == [4, 3, 2, 1]
    assert [item["annotations"] for item in items["items"]] == [{}, {}, notes, {}]
    current = quiet.result("GET", "/workers/scripts/app/deployments")["deployments"][0]
    assert current["versions"] == [{"version_id": items["items"][0]["id"], "percentage": 100}]
    shown = quiet.result("GET", f"/workers/scripts/app/versions/{items['items'][2]['id']}")
    assert shown["resources"]["bindings"] == [TEXT]


def test_only_the_last_hundred_versions_are_kept(quiet: Api) -> None:
    """Forget older versions."""
    make(quiet)
    for number in range(105):
        assert quiet.patch("app", {"bindings": [{**TEXT, "text": str(number)}]}).is_success
    items = quiet.result("GET", "/workers/scripts/app/versions")["items"]
    assert [items[0]["number"], items[-1]["number"], len(items)] == [106, 7, 100]


def test_secrets_and_variables_do_not_share_names(quiet: Api) -> None:
    """Refuse a secret by the name of a variable, and the deletion of what is no secret."""
    make(quiet, TEXT)
    secret = {"name": "T", "type": "secret_text", "text": "x"}
    assert quiet.refusal("PUT", "/workers/scripts/app/secrets", json=secret) == (400, 10053)
    assert quiet.refusal("DELETE", "/workers/scripts/app/secrets/T") == (404, 10056)
    assert quiet.refusal("GET", "/workers/scripts/app/secrets/T") == (404, 10056)
    wrong = {"name": "S", "type": "plain_text", "text": "x"}
    assert quiet.refusal("PUT", "/workers/scripts/app/secrets", json=wrong) == (400, 10021)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "settings"),
        ("GET", "versions"),
        ("GET", "deployments"),
        ("GET", "secrets"),
        ("GET", "subdomain"),
        ("GET", "script-settings"),
        ("GET", "content/v2"),
    ],
)
def test_an_unknown_script_is_not_found(quiet: Api, method: str, path: str) -> None:
    """Answer 404 with 10007; the services API says 10090."""
    assert quiet.refusal(method, f"/workers/scripts/none/{path}") == (404, 10007)
    assert quiet.refusal("DELETE", "/workers/scripts/none") == (404, 10007)
    assert quiet.refusal("GET", "/workers/services/none") == (404, 10090)
    answer = quiet.upload("none", CODE, verb="POST", path="/versions")
    assert code_of(answer) == (404, 10007)


def test_a_bound_script_is_deleted_only_by_force(quiet: Api) -> None:
    """Answer 10142 while another Worker is bound to it."""
    make(quiet, name="served")
    make(quiet, {"type": "service", "name": "SVC", "service": "served"}, name="user")
    path = "/workers/scripts/served"
    assert quiet.refusal("DELETE", path) == (400, 10142)
    quiet.result("DELETE", path, params={"force": "true"})
    assert [item["id"] for item in quiet.result("GET", "/workers/scripts")] == ["user"]


def test_script_settings_are_not_versioned(quiet: Api) -> None:
    """Change tags without a version."""
    make(quiet)
    path = "/workers/scripts/app/script-settings"
    changed = quiet.result("PATCH", path, json={"tags": ["a"], "observability": {"enabled": True}})
    assert changed["tags"] == ["a"]
    assert quiet.result("GET", path) == changed
    assert len(quiet.result("GET", "/workers/scripts/app/versions")["items"]) == 1


def test_content_comes_back_and_can_be_replaced(quiet: Api) -> None:
    """Download the modules as they were uploaded; replace them and keep the bindings."""
    make(quiet, TEXT)
    assert CODE in quiet("GET", "/workers/scripts/app/content/v2").text
    other = CODE.replace("hi", "there")
    assert quiet.upload("app", other, path="/content").is_success
    assert other in quiet("GET", "/workers/scripts/app").text
    assert quiet.bindings("app") == [TEXT]


def test_an_account_may_have_no_subdomain(quiet: Api) -> None:
    """Answer 10007 and 10063 until one is registered."""
    quiet.control.post("/account", json={"subdomain": None}).raise_for_status()
    make(quiet)
    assert quiet.refusal("GET", "/workers/subdomain") == (404, 10007)
    path = "/workers/scripts/app/subdomain"
    assert quiet.refusal("POST", path, json={"enabled": True}) == (400, 10063)
    quiet.result("PUT", "/workers/subdomain", json={"subdomain": "mine"})
    assert quiet.result("GET", "/workers/subdomain") == {"subdomain": "mine"}
    shown = quiet.result("POST", path, json={"enabled": True, "previews_enabled": False})
    assert shown == {"enabled": True, "previews_enabled": False}
    assert quiet.refusal("POST", path, json={"enabled": "yes"}) == (400, 10021)


def test_scripts_outlive_a_restart(tmp_path: Path) -> None:
    """Find scripts, versions and secrets again in the folder of an emulator that was stopped."""
    with Emulator(tmp_path) as emulator:
        make(Api(emulator, wsgi=True), TEXT, SECRET)
    with Emulator(tmp_path) as emulator:
        api = Api(emulator, wsgi=True)
        assert api.patch("app", {"bindings": [{"type": "inherit", "name": "S"}]}).is_success
        secret = emulator.scripts.latest("app").binding("S")
        assert secret is not None
        assert secret["text"] == "hush"
        assert len(api.result("GET", "/workers/scripts/app/versions")["items"]) == 2

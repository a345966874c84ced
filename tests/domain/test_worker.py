"""Pool Workers: what a publish contains, and what reads back wrong."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.worker import (
    bindings_hash,
    content_hash,
    merge_bindings,
    missing_bindings,
)


def d1(name: str, uuid: str = "u") -> dict[str, Any]:
    return {"type": "d1", "name": name, "database_id": uuid, "id": uuid}


NAMES = st.sampled_from(["DB_A", "DB_B", "DB_C", "KV", "SECRET", "D1FLEET_GENERATION", "VAR"])
FOREIGN = st.sampled_from(
    [
        {"type": "secret_text"},
        {"type": "plain_text", "text": "by somebody else"},
        {"type": "kv_namespace", "namespace_id": "n"},
        {"type": "d1", "database_id": "other", "id": "other"},
    ]
)


def as_cloudflare_does(
    existing: list[dict[str, Any]], sent: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Replace the whole list; what is inherited keeps every field that it had."""
    before = {binding["name"]: binding for binding in existing}
    return {
        binding["name"]: before[binding["name"]] if binding["type"] == "inherit" else binding
        for binding in sent
    }


@given(
    st.dictionaries(NAMES, FOREIGN),
    st.sets(st.sampled_from(["DB_A", "DB_B", "DB_C"])),
    st.sets(st.sampled_from(["DB_A", "DB_B", "DB_C"])),
)
def test_a_publish_says_what_is_ours_and_inherits_the_rest(
    there: dict[str, dict[str, Any]], wanted: set[str], going: set[str]
) -> None:
    """Foreign bindings survive as they are, ours are as the table says, leaving ones are gone."""
    existing = [{"name": name, **binding} for name, binding in there.items()]
    leaving = frozenset(going - wanted)
    desired = {name: d1(name, f"of {name}") for name in wanted}
    texts = {"D1FLEET_GENERATION": "8"}
    sent = merge_bindings(existing, desired, leaving, texts)
    names = [binding["name"] for binding in sent]
    assert len(names) == len(set(names))
    after = as_cloudflare_does(existing, sent)
    assert set(after) == (set(there) | wanted | set(texts)) - leaving
    for binding in existing:
        if binding["name"] not in wanted | leaving | set(texts):
            assert after[binding["name"]] is binding
    assert {name: after[name] for name in wanted} == desired
    assert after["D1FLEET_GENERATION"]["text"] == "8"
    # A secret's value never travels: nothing of a foreign binding but its name is sent.
    foreign = [b for b in sent if b["name"] not in wanted | set(texts)]
    assert all(binding == {"type": "inherit", "name": binding["name"]} for binding in foreign)
    assert missing_bindings(sent, [*after.values()], leaving) == []


def test_a_binding_of_ours_that_the_table_does_not_know_is_kept() -> None:
    """Dropping it is for the reconciler to decide, who looks twice."""
    assert merge_bindings([d1("DB_X")], {}, frozenset(), {}) == [
        {"type": "inherit", "name": "DB_X"}
    ]


def test_what_a_deployment_by_hand_dropped_comes_from_the_version_before() -> None:
    """The newest version's bindings win; nothing of ours, and nothing leaving, is brought back."""
    newest = [d1("KV"), {"type": "secret_text", "name": "S"}]
    older = [{"type": "secret_text", "name": "S"}, d1("FOREIGN"), d1("DB_A"), d1("DB_B")]
    sent = merge_bindings(
        newest, {"DB_A": d1("DB_A", "u2")}, frozenset({"DB_B"}), {}, older=older, version="v1"
    )
    assert sent == [
        {"type": "inherit", "name": "KV"},
        {"type": "inherit", "name": "S"},
        {"type": "inherit", "name": "FOREIGN", "version_id": "v1"},
        d1("DB_A", "u2"),
    ]


@pytest.mark.parametrize(
    ("sent", "seen", "wrong"),
    [
        (d1("DB_A"), None, ["DB_A"]),
        (d1("DB_A"), d1("DB_A"), []),
        (d1("DB_A"), {"type": "d1", "name": "DB_A", "id": "u"}, []),
        (d1("DB_A"), {"type": "d1", "name": "DB_A", "database_id": "u"}, []),
        (d1("DB_A"), d1("DB_A", "another"), ["DB_A"]),
        (d1("DB_A"), {"type": "kv_namespace", "name": "DB_A"}, ["DB_A"]),
        ({"type": "plain_text", "name": "V", "text": "8"}, d1("V"), ["V"]),
        (
            {"type": "plain_text", "name": "V", "text": "8"},
            {"type": "plain_text", "name": "V", "text": "7"},
            ["V"],
        ),
        ({"type": "inherit", "name": "S"}, {"type": "secret_text", "name": "S"}, []),
        ({"type": "inherit", "name": "S"}, None, ["S"]),
        (
            {"type": "secret_text", "name": "S", "text": "whsec_x"},
            {"type": "secret_text", "name": "S"},
            [],
        ),
        (
            {"type": "service", "name": "SHARD_1", "service": "f-pool-1"},
            {
                "type": "service",
                "name": "SHARD_1",
                "service": "f-pool-1",
                "environment": "production",
            },
            [],
        ),
        (
            {"type": "service", "name": "SHARD_1", "service": "f-pool-1"},
            {"type": "service", "name": "SHARD_1", "service": "f-pool-2"},
            ["SHARD_1"],
        ),
    ],
)
def test_what_reads_back_wrong_is_named(
    sent: Mapping[str, Any], seen: Mapping[str, Any] | None, wrong: list[str]
) -> None:
    """Absent or with another value is wrong; what Cloudflare adds or never gives back is not."""
    assert missing_bindings([sent], [] if seen is None else [seen], frozenset()) == wrong


def test_a_leaving_binding_that_is_still_there_is_named() -> None:
    """A publish that should have dropped a binding and did not is no success."""
    assert missing_bindings([], [d1("DB_A")], frozenset({"DB_A", "DB_B"})) == ["DB_A"]


def test_the_hash_of_names_is_that_of_the_running_shard() -> None:
    """Sorted, joined with line feeds, SHA-256 in hex: the shard computes the very same."""
    assert bindings_hash(["DB_B", "DB_A"]) == (
        "7f2b00280d90fdd49c121b94d735e890371990e4de91924387124041ad57970b"
    )
    assert bindings_hash([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_hash_of_contents_tells_values_apart() -> None:
    """Order does not matter, another database under the same name does."""
    both = {"DB_A": d1("DB_A", "1"), "DB_B": d1("DB_B", "2")}
    assert content_hash(both) == content_hash(dict(reversed(both.items())))
    assert content_hash(both) != content_hash(both | {"DB_B": d1("DB_B", "3")})

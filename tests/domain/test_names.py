"""Names: one golden table, and what is not ours by a hair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.classes import DATABASE_CLASSES, placement
from shared.domain.names import (
    TENANT_ID,
    binding_name,
    database_name,
    directory_name,
    is_binding,
    router_script,
    shard_number,
    shard_script,
    ulid_of_binding,
    ulid_of_database,
)

ULID = "01JDCB6M5V5P6Z5N1QG3YJ7K8E"
ULIDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)
FLEETS = st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True)


def test_names_are_these() -> None:
    """The golden table: changing any of these orphans a running fleet."""
    assert {
        "database": database_name("prod", ULID),
        "binding": binding_name(ULID),
        "router": router_script("prod"),
        "first shard": shard_script("prod", 1),
        "twelfth shard": shard_script("prod", 12),
        "directory": directory_name("prod"),
    } == {
        "database": "prod-01jdcb6m5v5p6z5n1qg3yj7k8e",
        "binding": "DB_01JDCB6M5V5P6Z5N1QG3YJ7K8E",
        "router": "prod-pool",
        "first shard": "prod-pool-1",
        "twelfth shard": "prod-pool-12",
        "directory": "prod-directory",
    }


@given(FLEETS, ULIDS)
def test_a_name_leads_back_to_its_ulid(fleet: str, ulid: str) -> None:
    """Database and binding names lead back to their ULID, within D1's 32 characters."""
    name = database_name(fleet, ulid)
    assert len(name) <= 32
    assert name == name.lower()
    assert ulid_of_database(fleet, name) == ulid
    assert ulid_of_binding(binding_name(ulid)) == ulid
    assert is_binding(binding_name(ulid))


@given(FLEETS, st.integers(1, 10_000))
def test_a_shard_leads_back_to_its_number(fleet: str, number: int) -> None:
    """Scripts of shards are counted from 1 and told from the router."""
    assert shard_number(fleet, shard_script(fleet, number)) == number
    assert shard_number(fleet, router_script(fleet)) is None


@pytest.mark.parametrize(
    "name",
    [
        "prod-01jdcb6m5v5p6z5n1qg3yj7k8e\n",
        "prod-01JDCB6M5V5P6Z5N1QG3YJ7K8E",
        "prod-01jdcb6m5v5p6z5n1qg3yj7k8",
        "prod-01jdcb6m5v5p6z5n1qg3yj7k8e1",
        "prod-01jdcb6m5v5p6z5n1qg3yj7k8u",
        "prod-01jdcb6m5v5p6z5n1qg3yj7k8\u017f",
        "xprod-01jdcb6m5v5p6z5n1qg3yj7k8e",
        "pro-01jdcb6m5v5p6z5n1qg3yj7k8e",
        "prod-directory",
        "prod-",
        "",
    ],
)
def test_a_database_that_is_not_ours_has_no_ulid(name: str) -> None:
    """A prefix, another fleet, a letter that only upper-cases to one of ours: not ours."""
    assert ulid_of_database("prod", name) is None


@pytest.mark.parametrize(
    "name", ["DB_", f"DB_{ULID}\n", f"db_{ULID}", f"DB_{ULID.lower()}", f"XDB_{ULID}", "DB_POOL"]
)
def test_a_binding_that_is_not_ours_is_left_alone(name: str) -> None:
    """Only the exact form is a binding of ours; the app's own `DB_POOL` is not."""
    assert not is_binding(name)
    assert ulid_of_binding(name) is None


@pytest.mark.parametrize(
    "script", ["prod-pool-0", "prod-pool-01", "prod-pool-", "prod-pool-1\n", "prod-pool-1٣", "p-1"]
)
def test_a_script_that_is_no_shard_has_no_number(script: str) -> None:
    """Numbers are plain digits without leading zeros, as we write them."""
    assert shard_number("prod", script) is None


def test_a_fleet_that_looks_like_a_pattern_matches_itself_alone() -> None:
    """A fleet's name is text, never a pattern."""
    assert shard_number("p.d", "pxd-pool-1") is None
    assert ulid_of_database("p.d", f"pxd-{ULID.lower()}") is None


@pytest.mark.parametrize("good", ["a", "org_2abc", "a" * 128, "auth0|1.2:x@y-z"])
def test_tenant_ids_are_taken(good: str) -> None:
    """Ids of the known providers are taken, up to 128 characters."""
    assert TENANT_ID.match(good)


@pytest.mark.parametrize("bad", ["", "a" * 129, "a b", "a/b", "a#b", "é", "a\n", "a\0"])
def test_tenant_ids_that_could_break_a_key_are_refused(bad: str) -> None:
    """Nothing that could end a key, a path or a line is a tenant's id."""
    assert TENANT_ID.match(bad) is None


def test_every_class_says_where_its_databases_live() -> None:
    """A class is sent as jurisdiction or as location hint, never as neither or both."""
    fields = {class_: placement(class_) for class_ in DATABASE_CLASSES}
    assert fields["eu"] == {"jurisdiction": "eu"}
    assert fields["weur"] == {"primary_location_hint": "weur"}
    assert all(list(field.values()) == [class_] for class_, field in fields.items())
    with pytest.raises(ValueError, match="'mars' is no class of databases"):
        placement("mars")

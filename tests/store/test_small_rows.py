"""The small rows of the table: inbox, outbox, the fleet's own record, and the table itself."""

from datetime import timedelta
from typing import Any

import pytest

from shared.aws.fleet import Fleet, FleetStore
from shared.aws.items import INBOX_KEPT, inbox_key, inbox_put, outbox_put
from shared.aws.state import State
from shared.aws.table import Delete, Table
from shared.errors import Conflict, Transient


def fleet(world: Any, **more: Any) -> Fleet:
    data = {"fleet": "f", "uid": "u1", "account_id": "a", "directory_id": "d", "router_url": "r"}
    return Fleet.model_validate(data | {"created_at": world.now} | more)


def test_the_table_expires_what_says_so(table: Table, client: Any) -> None:
    """The attribute that inbox and history rows carry is the one that the table expires by."""
    answer = client.describe_time_to_live(TableName=table.name)
    described = answer["TimeToLiveDescription"]
    assert described["AttributeName"] == "expires_at"
    assert described["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}


def test_an_event_is_new_once(state: State, world: Any) -> None:
    """The second row of an event is refused by name and the first stays as it is."""
    key = inbox_key("clerk", "live", "evt_1")
    state.commit(also=[inbox_put(key, world.now, {"type": "user.created", "mode": None})])
    with pytest.raises(Conflict) as conflict:
        state.commit(also=[inbox_put(key, world.now, {"type": "other"})])
    assert conflict.value.condition == "event is new"
    row = state.table.get(key) or {}
    assert row["type"] == "user.created"
    assert "mode" not in row
    assert row["expires_at"] == (world.now + timedelta(days=45)).timestamp()
    assert timedelta(days=45) == INBOX_KEPT


def test_events_of_other_providers_and_modes_are_others(state: State, world: Any) -> None:
    """The same id from another provider or mode is another event."""
    for provider, mode in (("clerk", "live"), ("clerk", "test"), ("workos", "live")):
        state.commit(also=[inbox_put(inbox_key(provider, mode, "evt"), world.now, {})])
    assert len(world.items("INBOX#")) == 3


@pytest.mark.parametrize("event_id", ["x" * 200, "x" * 201, "é" * 5000, "a#b", "𝄞" * 200, " "])
def test_ids_of_any_length_and_letters_are_keys(state: State, world: Any, event_id: str) -> None:
    """Senders choose the id: whatever it is, its second delivery is recognised."""
    key = inbox_key("standard", "live", event_id)
    state.commit(also=[inbox_put(key, world.now, {})])
    with pytest.raises(Conflict):
        state.commit(also=[inbox_put(key, world.now, {})])
    other = inbox_key("standard", "live", event_id + "!")
    state.commit(also=[inbox_put(other, world.now, {})])


def test_rows_of_the_outbox_wait_in_their_order(state: State, world: Any) -> None:
    """The oldest comes first, whatever the order of writing, and a limit is kept."""
    for second in (3, 1, 2):
        state.table.write(outbox_put(world.later(second), "event", f"E{second}", {"n": second}))
    rows = list(state.table.query("OUTBOX"))
    assert [row["detail_type"] for row in rows] == ["E1", "E2", "E3"]
    assert [row["detail_type"] for row in state.table.query("OUTBOX", limit=2)] == ["E1", "E2"]
    state.table.write(Delete({"pk": "OUTBOX", "sk": rows[0]["sk"]}))
    assert [row["detail_type"] for row in state.table.query("OUTBOX")] == ["E2", "E3"]


def test_a_row_of_the_outbox_carries_its_own_id(state: State, world: Any) -> None:
    """Consumers tell repeats by `detail.id`: it is the row's key, whatever the detail says."""
    state.table.write(outbox_put(world.now, "alert", "alert.x", {"id": "mine", "n": 1}))
    (row,) = state.table.query("OUTBOX")
    assert row["detail"] == {"id": row["sk"], "n": 1}
    assert row["kind"] == "alert"


def test_events_leave_with_the_state_they_speak_of_or_not_at_all(state: State, world: Any) -> None:
    """An outbox row of a transaction that loses is never sent."""
    key = inbox_key("clerk", "live", "evt_1")
    state.commit(also=[inbox_put(key, world.now, {})])
    event = outbox_put(world.now, "event", "TenantReady", {})
    with pytest.raises(Conflict):
        state.commit(also=[event, inbox_put(key, world.now, {})])
    assert world.items("OUTBOX") == []


def test_before_init_there_is_no_fleet(fleets: FleetStore) -> None:
    """Whoever needs the fleet is told what to run, and may wait for it."""
    assert fleets.read() is None
    with pytest.raises(Transient, match="d1fleet init") as error:
        fleets.get()
    assert error.value.retry_after == 30


def test_a_fleet_is_made_once(fleets: FleetStore, world: Any) -> None:
    """A second `init` does not give the fleet another identity."""
    fleets.create(fleet(world))
    with pytest.raises(Conflict, match="fleet is new"):
        fleets.create(fleet(world, uid="u2"))
    assert fleets.get() == fleet(world)


def test_a_fleet_may_move_its_router_but_not_its_uid(fleets: FleetStore, world: Any) -> None:
    """The router's address changes on the uid that is there; another uid is another fleet."""
    with pytest.raises(Conflict, match="fleet is ours"):
        fleets.replace(fleet(world))
    fleets.create(fleet(world))
    fleets.replace(fleet(world, router_url="https://pool.example"))
    assert fleets.get().router_url == "https://pool.example"
    with pytest.raises(Conflict, match="fleet is ours"):
        fleets.replace(fleet(world, uid="u2"))
    assert fleets.get().uid == "u1"

"""The names of everything d1fleet owns, in one place and derived in one way.

A database's name and its binding come from the same ULID, never from the tenant's id, so that they
can be written into URLs, logs and Worker settings, and a stale route can only miss.
"""

import re

__all__ = [
    "TENANT_ID",
    "binding_name",
    "database_name",
    "directory_name",
    "is_binding",
    "router_script",
    "shard_number",
    "shard_script",
    "ulid_of_binding",
    "ulid_of_database",
]

TENANT_ID = re.compile(r"[A-Za-z0-9_\-.:|@]{1,128}\Z")
_ULID = "[0-9A-HJKMNP-TV-Z]{26}"
_LOWER_ULID = "[0-9a-hjkmnp-tv-z]{26}"
_BINDING = re.compile(rf"DB_({_ULID})\Z")


def database_name(fleet: str, ulid: str) -> str:
    """Return the D1 name of a database: `<fleet>-<ulid>`, lower case, at most 32 characters."""
    return f"{fleet}-{ulid.lower()}"


def ulid_of_database(fleet: str, name: str) -> str | None:
    """Return the ULID in a D1 name of this fleet, or None for every other name."""
    found = re.fullmatch(rf"{re.escape(fleet)}-({_LOWER_ULID})", name)
    return found.group(1).upper() if found else None


def binding_name(ulid: str) -> str:
    """Return the name by which a pool Worker sees a database: `DB_<ULID>`."""
    return f"DB_{ulid}"


def is_binding(name: str) -> bool:
    """Say whether a binding's name is one of ours."""
    return _BINDING.match(name) is not None


def ulid_of_binding(name: str) -> str | None:
    """Return the ULID in a binding's name, or None for a binding that is not ours."""
    found = _BINDING.match(name)
    return found.group(1) if found else None


def router_script(fleet: str) -> str:
    """Return the script name of the fleet's router."""
    return f"{fleet}-pool"


def shard_script(fleet: str, number: int) -> str:
    """Return the script name of a shard; shards count from 1."""
    return f"{fleet}-pool-{number}"


def shard_number(fleet: str, script: str) -> int | None:
    """Return the number in a shard's script name, or None for every other script."""
    found = re.fullmatch(rf"{re.escape(fleet)}-pool-([1-9][0-9]*)", script)
    return int(found.group(1)) if found else None


def directory_name(fleet: str) -> str:
    """Return the D1 name of the fleet's directory; it can't be mistaken for a tenant's database."""
    return f"{fleet}-directory"

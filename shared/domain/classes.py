"""Where a database lives: its class is a location hint or a jurisdiction, and is always sent.

Without one, D1 places the primary near the caller of the API, which is the control plane and not
the tenant (D1's documentation, "Data location"). A jurisdiction can't be changed later.
"""

from typing import Final

__all__ = ["DATABASE_CLASSES", "JURISDICTIONS", "LOCATION_HINTS", "placement"]

LOCATION_HINTS: Final = frozenset({"wnam", "enam", "weur", "eeur", "apac", "oc"})
JURISDICTIONS: Final = frozenset({"eu", "fedramp", "us"})
DATABASE_CLASSES: Final = LOCATION_HINTS | JURISDICTIONS


def placement(class_: str) -> dict[str, str]:
    """Return the fields of a create request that put a database of this class where it belongs.

    Raises:
        ValueError: no such class; settings and records only hold known ones.
    """
    if class_ in JURISDICTIONS:
        return {"jurisdiction": class_}
    if class_ in LOCATION_HINTS:
        return {"primary_location_hint": class_}
    raise ValueError(f"{class_!r} is no class of databases: {', '.join(sorted(DATABASE_CLASSES))}")

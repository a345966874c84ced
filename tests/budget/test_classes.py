"""Classes of databases: where D1 is told to put them."""

import pytest

from shared.domain.classes import DATABASE_CLASSES, JURISDICTIONS, LOCATION_HINTS, placement


@pytest.mark.parametrize("name", sorted(LOCATION_HINTS))
def test_a_hint_is_sent_as_a_hint(name: str) -> None:
    """A class that is a location hint becomes the field D1 has for it."""
    assert placement(name) == {"primary_location_hint": name}


@pytest.mark.parametrize("name", sorted(JURISDICTIONS))
def test_a_jurisdiction_is_sent_as_one(name: str) -> None:
    """A class that is a jurisdiction becomes the field D1 has for it."""
    assert placement(name) == {"jurisdiction": name}


def test_no_name_is_both() -> None:
    """No class could be read two ways."""
    assert len(DATABASE_CLASSES) == len(LOCATION_HINTS) + len(JURISDICTIONS)


def test_an_unknown_class_is_refused() -> None:
    """A class that D1 does not have never leaves the house without a place."""
    with pytest.raises(ValueError, match="'moon' is no class"):
        placement("moon")

"""The parts of the benchmark that compute: nothing here is timed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import main_table
from bench.imports import imports_from_outside
from bench.latency import Latency
from bench.rows import Row, Sample, Target, as_document, verdict
from bench.scale import FULL, QUICK
from bench.signups import calls_between, told


def row(*ours: float, reference: float | None = None, **more: object) -> Row:
    beside = None if reference is None else Sample.of([reference])
    return Row("a row", "ms", Sample.of(ours), beside, "something", **more)  # type: ignore[arg-type]


def test_a_row_shows_the_median_and_its_ratio_to_the_reference() -> None:
    """One slow run in three changes neither the figure nor the ratio."""
    measured = row(10.0, 12.0, 900.0, reference=8.0)
    assert measured.ours.median == 12.0
    assert measured.ratio == 1.5


def test_what_was_measured_in_pairs_is_compared_in_pairs() -> None:
    """A stretch in which everything was slow changes no ratio, whatever it does to the medians."""
    ours, reference = (2.0, 30.0, 2.0, 40.0, 50.0), (1.0, 20.0, 1.0, 20.0, 25.0)
    beside = Sample.of(reference)
    assert Row("a row", "ms", Sample.of(ours), beside, paired=True).ratio == 2.0
    assert Row("a row", "ms", Sample.of(ours), beside).ratio == 1.5
    with pytest.raises(ValueError, match="5 values beside 1"):
        Row("a row", "ms", Sample.of(ours), Sample.of([1.0]), paired=True)


def test_a_sample_without_values_is_refused() -> None:
    """A measurement that never ran must not look like one."""
    with pytest.raises(ValueError, match="at least one"):
        Sample.of([])


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (row(1.0, reference=1.0), "none set"),
        (row(2.5, reference=2.0, target=Target("ratio", 1.25)), "met"),
        (row(2.6, reference=2.0, target=Target("ratio", 1.25)), "missed"),
        (row(0.0, target=Target("ours", 0)), "met"),
        (row(0.1, target=Target("ours", 0)), "missed"),
        (row(1.15, target=Target("ours", 1.1), indicative=True), "not this run"),
    ],
)
def test_a_target_is_met_missed_or_not_judged(measured: Row, said: str) -> None:
    """The target itself still counts as met; a short run of what needs a long one is not judged."""
    assert verdict(measured) == said


def test_a_target_for_a_ratio_needs_a_reference() -> None:
    """Without one there is nothing to judge, which is a mistake of the benchmark's."""
    with pytest.raises(ValueError, match="no reference"):
        verdict(row(1.0, target=Target("ratio", 2)))


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9), st.floats(0.001, 1e6))
def test_what_is_kept_is_json_with_every_value(ours: list[float], reference: float) -> None:
    """A kept run can be judged anew later: no value is lost on the way."""
    document = as_document([row(*ours, reference=reference)], {"at": "now"})
    kept = json.loads(json.dumps(document))
    assert kept["at"] == "now"
    assert kept["rows"][0]["ours"]["values"] == ours
    assert kept["rows"][0]["ours"]["n"] == len(ours)
    assert kept["rows"][0]["ours"]["min"] <= kept["rows"][0]["ours"]["median"]


def test_the_table_has_a_line_for_each_row() -> None:
    """Rows with and without a reference, a target and repetition all have their line."""
    rows = [
        row(1.0),
        row(1.0, 2.0, reference=0.0),
        row(3.0, reference=1.0, target=Target("ratio", 2)),
    ]
    assert main_table(rows).row_count == 3


def test_the_latency_is_one_that_the_emulator_takes() -> None:
    """Each kind of call has the latency that was given; creating one is not querying it."""
    routes = Latency(create=1, query=2, settings=3, redeploy=4).routes()
    assert routes["POST /accounts/{a}/d1/database"] == 1
    assert routes["POST /accounts/{a}/d1/database/{id}/query"] == 2
    assert routes["PATCH /accounts/{a}/workers/scripts/{n}/settings"] == 3
    assert routes["PUT /accounts/{a}/workers/scripts/{n}"] == 4


def test_calls_between_two_counts_are_told_by_route() -> None:
    """What was called before does not count; what was called most stands first."""
    before = {"GET /accounts/{a}/x": 2, "GET /user": 1}
    after = {"GET /accounts/{a}/x": 3, "GET /user": 1, "POST /accounts/{a}/y": 4}
    more = calls_between(before, after)
    assert more == {"GET /accounts/{a}/x": 1, "POST /accounts/{a}/y": 4}
    assert told(more) == "4 POST /y, 1 GET /x"


def test_the_reference_of_an_import_is_what_the_code_names() -> None:
    """The standard library, our own modules and what is imported later are left out."""
    source = """
import json
import httpx, os.path
from typing import TYPE_CHECKING
from flask import Flask, request
from shared.errors import Conflict
from . import neighbour
if TYPE_CHECKING:
    import boto3
def later():
    import pydantic
"""
    assert imports_from_outside(source) == {
        "import httpx",
        "from flask import Flask",
        "from flask import request",
    }


def test_only_the_full_run_is_judged_by_targets_that_need_it() -> None:
    """A refill of a hundred is what the target speaks of."""
    assert FULL.whole
    assert not QUICK.whole

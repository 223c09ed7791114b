"""What a manager writes down, the next one reads; what somebody else wrote there harms nobody."""

from __future__ import annotations

import json
import os
import stat

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.processes.adoption import (
    BrokenRecord,
    ProcessRecord,
    Records,
    component_id,
    file_name,
)
from domogik.supervisor.processes.identity import ProcessIdentity

RUNNING = ProcessRecord("plugin:clock", "abc", 1.5, ProcessIdentity(42, 4711, "boot"))


@pytest.fixture()
def records(tmp_path):
    (tmp_path / "processes").mkdir()
    return Records(tmp_path / "processes")


def test_a_record_is_found_again(records):
    records.begin(RUNNING)
    assert list(records.load()) == [("plugin:clock", RUNNING)]


def test_the_newest_record_of_a_component_counts(records):
    records.begin(ProcessRecord("plugin:clock", "before", 1.0, ProcessIdentity(1, 1, "boot")))
    records.begin(ProcessRecord("plugin:clock", "abc", 1.5))
    records.add(RUNNING)
    assert list(records.load()) == [("plugin:clock", RUNNING)]


def test_a_removed_record_is_gone_and_may_be_removed_twice(records):
    records.begin(RUNNING)
    records.remove("plugin:clock")
    records.remove("plugin:clock")
    assert list(records.load()) == []


def test_records_are_for_us_alone(records, tmp_path):
    records.begin(RUNNING)
    (file,) = (tmp_path / "processes").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_start_that_was_never_finished_is_known_by_its_mark(records):
    records.begin(ProcessRecord("plugin:clock", "abc", 1.5))
    ((_, record),) = records.load()
    assert record.run_id == "abc"
    assert record.process is None


def test_a_stop_that_was_never_finished_is_remembered(records):
    records.begin(ProcessRecord("plugin:clock", "abc", 1.5, wanted=False))
    ((_, record),) = records.load()
    assert not record.wanted


def test_a_line_cut_short_leaves_the_one_before(records, tmp_path):
    records.begin(ProcessRecord("plugin:clock", "abc", 1.5))
    (file,) = (tmp_path / "processes").iterdir()
    with file.open("ab") as half:
        half.write(RUNNING.to_json()[:20])
    assert list(records.load()) == [("plugin:clock", ProcessRecord("plugin:clock", "abc", 1.5))]


def test_a_file_cut_short_by_a_power_cut_still_says_what_was_wanted(records, tmp_path):
    records.begin(RUNNING)
    (file,) = (tmp_path / "processes").iterdir()
    file.write_bytes(b"")
    assert list(records.load()) == [("plugin:clock", None)]
    assert [path.suffix for path in (tmp_path / "processes").iterdir()] == [".broken"]
    assert list(records.load()) == []


def test_a_record_under_the_name_of_another_component_is_refused(records, tmp_path):
    records.begin(RUNNING)
    (file,) = (tmp_path / "processes").iterdir()
    file.rename(file.with_name("plugin-other.json"))
    assert list(records.load()) == [("plugin:other", None)]


def test_a_kill_while_a_record_is_written_leaves_the_one_before(records, monkeypatch):
    records.begin(RUNNING)
    ((name, before),) = records.load()

    class Killed(BaseException):
        pass

    def write(descriptor: int, data: bytes) -> int:
        raise Killed

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Killed):
        records.begin(attrs.evolve(RUNNING, wanted=False))
    assert list(records.load()) == [(name, before)]


def test_a_full_disk_does_not_keep_a_component_from_running(tmp_path):
    (tmp_path / "processes").write_bytes(b"a file where the directory should be")
    Records(tmp_path / "processes").begin(RUNNING)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_every_component_has_a_file_of_its_own_in_the_directory(name):
    made = file_name(f"plugin:{name}")
    assert component_id(made) == f"plugin:{name}"
    assert "/" not in made
    assert "\0" not in made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(
        st.sampled_from(["id", "run_id", "started", "process", "wanted"]), json_values
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_record_or_a_broken_record(data):
    try:
        record = ProcessRecord.from_json(data)
    except BrokenRecord:
        return
    assert record.id
    assert record.run_id

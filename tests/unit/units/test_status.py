"""systemd's words, and the one word that all components share."""

from __future__ import annotations

import pytest

from domogik.components.model import State
from domogik.units.systemd.names import with_suffix
from domogik.units.systemd.status import Enablement, UnitStatus

ENABLED = Enablement("enabled")


def status(**more):
    return UnitStatus("web.service", "web.service", **more)


@pytest.mark.parametrize(
    ("active", "sub", "state"),
    [
        ("active", "running", State.RUNNING),
        ("active", "exited", State.RUNNING),
        ("active", "listening", State.RUNNING),
        ("reloading", "reload", State.RUNNING),
        ("activating", "start-pre", State.STARTING),
        ("activating", "auto-restart", State.BACKOFF),
        ("activating", "auto-restart-queued", State.BACKOFF),
        ("deactivating", "stop-sigterm", State.STOPPING),
        ("failed", "failed", State.FAILED),
        ("inactive", "dead", State.STOPPED),
        ("maintenance", "", State.UNKNOWN),
        ("", "", State.UNKNOWN),
    ],
)
def test_each_state_of_systemd_is_one_of_ours(active, sub, state):
    assert status(active_state=active, sub_state=sub, enablement=ENABLED).state is state


def test_what_does_not_run_and_is_not_enabled_is_disabled():
    for word in ("disabled", "masked", "linked", ""):
        assert status(enablement=Enablement(word)).state is State.DISABLED


def test_what_is_no_unit_has_failed_and_says_why():
    missing = status(load_state="not-found", load_error="Unit web.service not found.")
    broken = status(load_state="bad-setting", load_error="No ExecStart=.")
    assert (missing.state, missing.reason) == (State.FAILED, "Unit web.service not found.")
    assert (broken.state, broken.reason) == (State.FAILED, "No ExecStart=.")
    assert status(load_state="error").reason == "Unit web.service cannot be loaded (error)."


def test_the_reason_is_how_it_ended():
    for code, number, word in ((1, 3, "status=3"), (2, 9, "signal=9"), (3, 6, "signal=6")):
        failed = status(
            active_state="failed", result="x", exec_main_code=code, exec_main_status=number
        )
        assert failed.reason == f"Result=x, {word}"
    waiting = status(active_state="activating", sub_state="auto-restart", result="x", restarts=4)
    assert waiting.reason == "Result=x, NRestarts=4"
    assert status(active_state="active").reason == ""
    assert status(active_state="activating", sub_state="start").reason == "activating (start)"
    assert status(load_state="masked").reason == "Unit web.service is masked."


def test_only_units_that_run_to_an_end_have_done_their_work():
    assert status(type="oneshot").did_its_work
    assert not status(type="simple").did_its_work
    assert not status(type="oneshot", result="timeout").did_its_work
    assert not status(type="oneshot", active_state="failed").did_its_work
    assert not status(type="oneshot", load_state="masked").did_its_work


def test_every_word_of_enablement_has_a_sentence():
    assert Enablement("masked-runtime").is_masked
    assert Enablement("masked").sentence == "it is masked: it cannot be started"
    assert Enablement("of the future").sentence == "it is not known whether it is enabled"
    assert not Enablement("of the future").is_enabled


def test_the_service_of_a_socket_has_its_name():
    assert with_suffix("a.b.socket", "service") == "a.b.service"

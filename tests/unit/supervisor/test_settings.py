"""What `[supervision]` and `[component:<id>]` may say."""

import pytest

from domogik.config.load import BrokenConfiguration, load
from domogik.supervisor.interfaces import Policy, Restart
from domogik.supervisor.settings import Supervision, check


@pytest.fixture
def write(tmp_path):
    def written(text):
        (tmp_path / "domogik.cfg").write_text(text)
        return load([tmp_path / "domogik.cfg"])

    return written


def test_without_a_word_the_defaults_of_the_contract_hold(write):
    found = Supervision.of(write(""), "plugin:clock")
    assert found == Supervision()
    assert found.policy == Policy(
        restart=Restart.ON_FAILURE,
        backoff_first=1,
        backoff_max=300,
        start_limit=5,
        start_limit_window=600,
        slow_retry=900,
        start_timeout=30,
        stop_signal="TERM",
        stop_timeout=10,
        restart_after_misses=0,
        watchdog=0,
        log_max_size=10 * 2**20,
        log_files=5,
    )
    assert (found.needs, found.memory_max, found.open_files_max, found.nice) == ((), None, None, 0)


def test_every_key_is_read(write):
    found = Supervision.of(
        write(
            "[supervision]\nrestart = always\nbackoff_first = 0.5\nbackoff_max = 60\n"
            "start_limit = 3\nstart_limit_window = 30\nslow_retry = 90\nstart_timeout = 5\n"
            "stop_signal = sigint\nstop_timeout = 2\nrestart_after_misses = 4\nwatchdog = 1.5\n"
            "log_max_size = 1M\nlog_files = 2\nneeds = plugin:lamp, daemon:cache\n"
            "memory_max = 64M\nopen_files_max = 99\nnice = -5\nupdate_probation = 7\n"
        ),
        "plugin:clock",
    )
    assert found == Supervision(
        Policy(Restart.ALWAYS, 0.5, 60, 3, 30, 90, 5, "INT", 2, 4, 1.5, 2**20, 2),
        ("plugin:lamp", "daemon:cache"),
        2**26,
        99,
        -5,
        "64M (domogik.cfg:16)",
        7,
    )


def test_a_component_overrides_key_by_key_and_for_itself_only(write):
    configuration = write(
        "[supervision]\nstart_limit = 3\nnice = 5\n"
        "[component:plugin:clock]\nstart_limit = 9\nstop_timeout = 1\n"
    )
    clock, lamp = (Supervision.of(configuration, f"plugin:{name}") for name in ("clock", "lamp"))
    assert (clock.policy.start_limit, clock.policy.stop_timeout, clock.nice) == (9, 1, 5)
    assert (lamp.policy.start_limit, lamp.policy.stop_timeout, lamp.nice) == (3, 10, 5)


def test_a_key_without_a_value_is_as_if_it_were_not_there(write):
    configuration = write(
        "[supervision]\nstart_limit = 3\nmemory_max =\n"
        "[component:plugin:clock]\nstart_limit =\nneeds =\nnice =\n"
    )
    found = Supervision.of(configuration, "plugin:clock")
    assert (found.policy.start_limit, found.memory_max, found.needs, found.nice) == (3, None, (), 0)


@pytest.mark.parametrize(
    "line",
    [
        "restart = sometimes",
        "backoff_first = -1",
        "backoff_max = soon",
        "start_limit = 0",
        "start_timeout = inf",
        "stop_signal = HELLO",
        "stop_signal = 15",
        "restart_after_misses = -1",
        "log_max_size = 10",
        "log_max_size = big",
        "log_files = 0",
        "needs = lamp",
        "memory_max = 12",
        "open_files_max = 2",
        "nice = 40",
    ],
)
@pytest.mark.parametrize("section", ["supervision", "component:plugin:notherey"])
def test_what_cannot_be_meant_is_refused_with_file_and_line(write, tmp_path, section, line):
    configuration = write(f"[{section}]\n{line}\n")
    with pytest.raises(BrokenConfiguration) as caught:
        check(configuration)
    assert str(caught.value).startswith(f"{tmp_path}/domogik.cfg:2: {line.split()[0]} in")


def test_what_can_be_meant_is_not(write):
    check(write("[supervision]\nrestart = no\n[component:plugin:ghost]\nnice = 19\n"))

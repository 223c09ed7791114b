"""What a killed program left is ended without a pause and without an import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.throwaway import clearing
from domogik.daemons.throwaway.clearing import clear
from domogik.supervisor.processes.adoption import ProcessRecord
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.mark import inherited_mark

PATIENCE = 60
SLEEPS = ["sleep", "1000"]
#: has a child that has given up its session and its environment, and tells that child's number
HAS_CHILD = """
import subprocess, time
print(subprocess.Popen(["env", "-i", "setsid", "-w", "sleep", "1000"]).pid, flush=True)
time.sleep(1000)
"""
#: says at which signal it ends
TELLS = """
import signal, sys, time
signal.signal(signal.SIGQUIT, lambda *_: sys.exit("QUIT"))
print(flush=True)
time.sleep(1000)
"""


@pytest.fixture
def directory(tmp_path: Path) -> WorkingDirectory:
    made = WorkingDirectory(tmp_path / "there", "redis")
    made.claim()
    return made


def record(directory: WorkingDirectory, process: subprocess.Popen, run_id: str = "start") -> None:
    begun = ProcessRecord("daemon:redis", run_id, 1.0)
    directory.records.begin(begun)
    directory.records.add(
        ProcessRecord("daemon:redis", run_id, 1.0, ProcessIdentity.of(process.pid))
    )


def test_whoever_carries_its_mark_is_ended_and_it_is_removed(directory: WorkingDirectory) -> None:
    with inherited_mark(directory.id):
        escaped = subprocess.Popen(SLEEPS, env={}, start_new_session=True)
    named = subprocess.Popen(SLEEPS, env={"DOMOGIK_RUN_ID": directory.id, "PATH": os.defpath})
    other = subprocess.Popen(SLEEPS, env={"DOMOGIK_RUN_ID": "another", "PATH": os.defpath})
    try:
        clear(directory.path, "KILL")
        assert not directory.path.exists()
        assert escaped.wait(PATIENCE) == named.wait(PATIENCE) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (escaped, named, other):
            process.kill()
            process.wait()


def test_the_first_process_on_record_goes_with_its_children(directory: WorkingDirectory) -> None:
    argv = [sys.executable, "-c", HAS_CHILD]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as first:
        child = ProcessIdentity.of(int(first.stdout.readline()))
        record(directory, first)
        clear(directory.path, "KILL")
        assert first.wait(PATIENCE) == -signal.SIGKILL
        assert not child.is_running()


def test_the_first_process_gets_the_signal_that_its_kind_wants(directory: WorkingDirectory) -> None:
    argv = [sys.executable, "-c", TELLS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, start_new_session=True, **pipes) as first:
        first.stdout.readline()
        record(directory, first)
        clear(directory.path, "QUIT")
        assert first.communicate(timeout=PATIENCE)[1] == "QUIT\n"


def test_a_number_that_has_passed_to_another_process_means_nothing(
    directory: WorkingDirectory,
) -> None:
    with subprocess.Popen(SLEEPS, start_new_session=True) as other:
        record(directory, other)
        path = next((directory.path / "run").glob("*.json"))
        content = json.loads(path.read_bytes().splitlines()[-1])
        content["process"]["start_ticks"] -= 1
        path.write_text(json.dumps(content))
        clear(directory.path, "KILL")
        assert other.poll() is None
        other.kill()
    assert not directory.path.exists()


def test_a_record_that_was_cut_off_is_no_obstacle(directory: WorkingDirectory) -> None:
    (directory.subdirectory("run") / "daemon-redis.json").write_text('{"id": "daemon:redis", "ru')
    clear(directory.path, "KILL")
    assert not directory.path.exists()


def test_a_process_that_cannot_be_killed_keeps_its_directory(
    directory: WorkingDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "_members", lambda *_: iter([(1, 0)]))
    with pytest.raises(TimeoutError, match="cannot be killed"):
        clear(directory.path, "KILL")
    assert directory.path.exists()


def test_the_end_of_a_program_that_is_gone_needs_no_import_and_no_pause(
    directory: WorkingDirectory, tmp_path: Path
) -> None:
    """Nothing stands between the end of the program and that of the server but the kernel."""
    entry = {"kind": "redis", "directory": str(directory.path), "signal": "KILL"}
    (tmp_path / "list").write_text(json.dumps(entry) + "\n")
    program = (
        "import sys, time, domogik.daemons.throwaway.after_exit as reaper\n"
        "time.sleep = None\n"
        "before = set(sys.modules)\n"
        "reaper.main()\n"
        "print(sorted(set(sys.modules) - before), 'twisted' in sys.modules, 'attr' in sys.modules)"
    )
    with subprocess.Popen(SLEEPS, env={"DOMOGIK_RUN_ID": directory.id, "PATH": os.defpath}) as one:
        gone = subprocess.Popen(["true"])
        gone.wait()
        argv = [sys.executable, "-c", program, str(tmp_path / "list"), str(gone.pid), "1"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert one.wait(PATIENCE) == -signal.SIGKILL
    assert (done.stdout, done.stderr) == ("[] False False\n", "")
    assert not directory.path.exists()
    assert not (tmp_path / "list").exists()

"""The status of a unit in systemd's words (systemctl(1), "show"), and what they mean here."""

from __future__ import annotations

import attrs

from domogik.components.model import State

#: the words for which `systemctl is-enabled` exits with 0 (systemctl(1), table 2)
_ENABLED = frozenset(
    ("enabled", "enabled-runtime", "alias", "static", "indirect", "generated", "transient")
)
_MEANING = {
    "enabled": "it is started with the host",
    "enabled-runtime": "it is enabled until the next boot only",
    "linked": "its file is elsewhere and it is not enabled",
    "linked-runtime": "its file is elsewhere until the next boot, and it is not enabled",
    "alias": "the name is another one of an enabled unit",
    "masked": "it is masked: it cannot be started",
    "masked-runtime": "it is masked until the next boot: it cannot be started",
    "static": "it cannot be enabled: other units start it",
    "disabled": "it is not enabled",
    "indirect": "it is not enabled itself, but units that its file names can be",
    "generated": "its file was made by a generator, which decides when it is started",
    "transient": "it was made by a program and is gone at the next boot",
    "bad": "its file cannot be understood",
    "not-found": "there is no such unit",
}


@attrs.frozen
class Enablement:
    """UnitFileState in `word`, which is empty if systemd gives none."""

    word: str

    @property
    def is_enabled(self) -> bool:
        """Whether `systemctl is-enabled` exits with 0."""
        return self.word in _ENABLED

    def counts(self, *, strictly: bool) -> bool:
        """Return whether it counts as enabled, `strictly` only with the word `enabled`."""
        return self.word == "enabled" if strictly else self.is_enabled

    @property
    def is_masked(self) -> bool:
        """Whether the unit cannot be started because it is masked."""
        return self.word.startswith("masked")

    @property
    def sentence(self) -> str:
        """The meaning of the word as a sentence."""
        return _MEANING.get(self.word, "it is not known whether it is enabled")


@attrs.frozen
class UnitStatus:
    """The status of one unit; `name` is the one that was asked for, `id` the first of its names.

    `main_pid` is 0 without a process. `exec_main_status` is the exit status or signal of the
    main process that ended last, `exec_main_code` says which (waitid(2): 1 exit status, 2 and 3
    signal). `since` is the Unix time in seconds of the last change of state, 0 when unknown.
    """

    name: str
    id: str = ""
    names: tuple[str, ...] = ()
    description: str = ""
    type: str = ""
    load_state: str = "loaded"
    load_error: str = ""
    active_state: str = "inactive"
    sub_state: str = "dead"
    result: str = "success"
    enablement: Enablement = Enablement("")
    main_pid: int = 0
    exec_main_code: int = 0
    exec_main_status: int = 0
    restarts: int = 0
    fragment_path: str = ""
    control_group: str = ""
    triggered_by: tuple[str, ...] = ()
    status_text: str = ""
    needs_daemon_reload: bool = False
    since: float = 0.0

    @property
    def exists(self) -> bool:
        """Whether systemd knows a unit of that name."""
        return self.load_state != "not-found"

    @property
    def is_masked(self) -> bool:
        """Whether the unit cannot be started because it is masked."""
        return self.load_state == "masked" or self.enablement.is_masked

    @property
    def is_broken(self) -> bool:
        """Whether systemd cannot read the unit's file."""
        return self.load_state in ("bad-setting", "error")

    @property
    def is_waiting_to_restart(self) -> bool:
        """Whether the unit ended and systemd is about to start it again."""
        return self.active_state == "activating" and self.sub_state.startswith("auto-restart")

    @property
    def is_starting(self) -> bool:
        """Whether the unit is being started."""
        return self.active_state == "activating" and not self.is_waiting_to_restart

    @property
    def is_failed(self) -> bool:
        """Whether the unit failed and systemd does not start it again."""
        return self.active_state == "failed"

    @property
    def is_active(self) -> bool:
        """Whether the unit runs, also while it reloads its configuration."""
        return self.active_state in ("active", "reloading", "refreshing")

    @property
    def did_its_work(self) -> bool:
        """Whether it is a unit of `Type=oneshot` that is inactive and did not fail.

        systemd unloads such a unit at once, so it is not known whether and when it ran.
        """
        return (
            self.type == "oneshot"
            and self.active_state == "inactive"
            and self.result == "success"
            and self.load_state == "loaded"
        )

    @property
    def is_running(self) -> bool:
        """Whether the unit runs, starts or has done its work."""
        return self.is_active or self.is_starting or self.did_its_work

    @property
    def state(self) -> State:
        """The state of the component, in the words of all kinds."""
        if self.is_active:
            return State.RUNNING
        if self.is_waiting_to_restart:
            return State.BACKOFF
        if self.is_starting:
            return State.STARTING
        if self.active_state == "deactivating":
            return State.STOPPING
        if self.is_failed or not self.exists or self.is_broken:
            return State.FAILED
        if self.active_state == "inactive":
            return State.STOPPED if self.enablement.is_enabled else State.DISABLED
        return State.UNKNOWN

    @property
    def reason(self) -> str:
        """Why the unit is not well, in systemd's words; empty if it is."""
        if not self.exists:
            return self.load_error or f"Unit {self.name} not found."
        if self.is_masked:
            return f"Unit {self.name} is masked."
        if self.is_broken:
            return self.load_error or f"Unit {self.name} cannot be loaded ({self.load_state})."
        if self.is_failed or self.is_waiting_to_restart or self.result != "success":
            return self.outcome
        if self.active_state in ("activating", "deactivating"):
            return f"{self.active_state} ({self.sub_state})"
        return ""

    @property
    def outcome(self) -> str:
        """How the last run ended: `Result=exit-code, status=1`."""
        words = [f"Result={self.result}"]
        if self.exec_main_code == 1:
            words.append(f"status={self.exec_main_status}")
        elif self.exec_main_code:
            words.append(f"signal={self.exec_main_status}")
        if self.restarts:
            words.append(f"NRestarts={self.restarts}")
        return ", ".join(words)

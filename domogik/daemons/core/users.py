"""Whom does a daemon run as, and may he enter the place where it works?"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import attrs

from domogik.daemons.core.errors import UnknownUser
from domogik.supervisor.interfaces import User


@attrs.frozen
class Account:
    """A user of this machine."""

    name: str
    user: User

    @classmethod
    def named(cls, name: str) -> Account:
        """Raises `UnknownUser`."""
        try:
            entry = pwd.getpwnam(name)
        except (KeyError, ValueError):
            raise UnknownUser(f"there is no user '{name}' on this machine") from None
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
        return cls(entry.pw_name, User(entry.pw_uid, entry.pw_gid, groups))

    def check_may_enter(self, directory: Path) -> None:
        """Whether every directory above `directory` lets him through; raises `UnknownUser`."""
        for ancestor in reversed(directory.absolute().parents):
            status = ancestor.stat()
            if not self._may_search(status):
                mode = stat.S_IMODE(status.st_mode)
                raise UnknownUser(
                    f"user {self.name} may not enter {ancestor} (mode {mode:04o}): allow it with "
                    f"chmod o+x, or choose another place"
                )

    def _may_search(self, status: os.stat_result) -> bool:
        if self.user.uid == 0:
            return True
        if status.st_uid == self.user.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid in (self.user.gid, *self.user.groups):
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

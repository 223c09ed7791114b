"""The store of packages and its changes, each of which happens completely or not at all.

A package is installed by one link, which is replaced or removed by one rename or unlink
(`layout.py` describes the files). The steps are:

1. `stage` unpacks into a new directory in the store and syncs it (one syncfs). It does not count
   yet: leftovers are removed at the start.
2. The intent is written to the journal and synced.
3. The staged directory is renamed to be a release, and the parent synced. From now on any link to
   it leads to a complete release, also after a power cut.
4. A new link is created under a temporary name and renamed over the old one; the directory is
   synced.
5. Leftovers and the journal's entry are removed (`_settle`).

After an error, a kill or a power cut, `_settle` reads the link, and completes the change or removes
what it added. `recover` does so for all entries of the journal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from domogik.errors import DomogikError, NotPossible, UnknownComponent
from domogik.packages.archive import durable
from domogik.packages.archive.unpacking import BrokenArchive, Limits, Unpacked, unpack
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.store.history import write_history
from domogik.packages.store.journal import Intent, Journal
from domogik.packages.store.layout import HISTORY, SUFFIXES, Layout

XPL, RINOR = "xpl", "rinor"
_STAGING, _TRASH = ".staging-", ".trash-"
#: so many releases of a package that were given up are remembered
_GIVEN_UP = 20


class StoreFailed(DomogikError):
    """The file system refused the change: full, read-only, broken. `str()` says what and where."""


class NotInstalled(UnknownComponent):
    """The package is not installed."""


class ManualDescriptor(NotPossible):
    """A descriptor of the user is in the place of the package's own."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was put there by hand: uninstall or remove it first")
        self.path = path


@attrs.frozen
class Staged:
    """A release that is unpacked and synced, but not part of the store yet."""

    directory: Path
    content: Unpacked

    @property
    def ref(self) -> PackageRef:
        """The reference of the release."""
        return self.content.ref


@attrs.frozen
class Change:
    """A part that was switched to `ref`, from `before` (None: there was nothing).

    `is_new`: the release was not in the store before.
    """

    part: str
    ref: PackageRef
    before: PackageRef | None
    is_new: bool


def _nothing(name: str) -> None:
    pass


@attrs.define(eq=False)
class Store(Layout):
    """The packages of one home, changed only by this process (`Home.lock`).

    All methods block; changes wait for each other. Raises `StoreFailed` for errors of the file
    system. `step` is called with the name of each point where a change might be interrupted.
    """

    _step: Callable[[str], None] = _nothing
    _journal: Journal = attrs.field(init=False)
    _lock: threading.RLock = attrs.field(init=False, factory=threading.RLock)

    @_journal.default
    def _default_journal(self) -> Journal:
        return Journal(self.home.store)

    # what is asked for

    def stage(
        self, archive: Path, ref: PackageRef | None = None, limits: Limits | None = None
    ) -> Staged:
        """Unpack an archive beside the releases; `ref` is what it has to be.

        Raises `BrokenArchive`, and leaves nothing behind.
        """
        with _translated():
            directory = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.home.store))
            try:
                self._step("staging made")
                content = unpack(archive, directory, limits, lambda name: self._step("file"))
                if ref is not None and content.ref != ref:
                    raise BrokenArchive(f"the archive holds {content.ref}, not {ref}")
                self._step("staged")
            except BaseException:
                durable.remove_tree(directory)
                raise
        return Staged(directory, content)

    def seal(self, staged: Staged) -> None:
        """Sync what was added to the staged directory."""
        with _translated():
            durable.sync_file_system(staged.directory)

    def discard(self, staged: Staged) -> None:
        """Remove a staged directory."""
        with _translated():
            durable.remove_tree(staged.directory)

    def install(self, staged: Staged, part: str = XPL) -> Change:
        """Make the staged release the present one, for one part. `staged` is used up.

        A release that is stored already gets the new content. Raises `ManualDescriptor`.
        """
        ref = staged.ref
        with self._lock, self._discarded(staged):
            is_new = not self.directory(ref).exists()
            change = self._planned(ref, part, is_new)
            with self._changing(_intent(ref, part, ref.release, ref if is_new else None)):
                self._move_in(staged)
                self._link_to(ref, part, change.before)
        return change

    def switch(self, ref: PackageRef, part: str = XPL, *, back: bool = False) -> Change:
        """Make a stored release the present one, for one part.

        `back` means a rollback, which is not added to the history. Raises `NotInstalled` for a
        release that is not stored, and `ManualDescriptor`.
        """
        with self._lock:
            if not self.directory(ref).is_dir():
                raise NotInstalled(f"{ref} is not stored here")
            change = self._planned(ref, part, is_new=False)
            with self._changing(_intent(ref, part, ref.release, None)):
                self._link_to(ref, part, None if back else change.before)
        return change

    def undo(self, change: Change) -> None:
        """Restore the state before a change, and remove a release that it added."""
        ref, before = change.ref, change.before
        if before == ref:
            return
        doubtful = ref if change.is_new else None
        after = before.release if before is not None else None
        intent = _intent(ref, change.part, after, doubtful)
        with self._lock, self._changing(intent, makes_room=True):
            if before is not None:
                self._link_to(before, change.part, None)
            else:
                self._unlink(ref.type, ref.id, change.part)

    def uninstall(
        self, type: str, id: str, *, with_data: bool = False, keep_served: bool = False
    ) -> None:
        """Remove all releases of a package; its data only if requested.

        With `keep_served`, what is served of it for other hosts stays. If its descriptor was placed
        by hand, only that is removed. Raises `NotInstalled`.
        """
        with self._lock:
            manual = self.manual_descriptor(type, id)
            if manual is not None and manual == self.descriptor_link(type, id):
                with _translated():
                    durable.remove_link(manual)
                    if with_data:
                        self._remove_data(type, id)
                return
            traces = (self.package(type, id), self.rinor_link(type, id))
            if self.present(type, id) is None and not any(map(os.path.lexists, traces)):
                raise NotInstalled(f"{type} '{id}' is not installed")
            keep = keep_served and self.served(type, id) is not None
            intent = Intent(type, id, XPL, None, whole=not keep, with_data=with_data and not keep)
            with self._changing(intent, makes_room=True):
                self._unlink(type, id, XPL)
            if keep:
                self.prune(type, id, 0)
                if with_data:
                    self._remove_data(type, id)

    def remove_release(self, ref: PackageRef) -> None:
        """Remove a stored release; raises `NotPossible` if it is in use."""
        with self._lock, _translated():
            if self.is_linked(ref):
                raise NotPossible(f"{ref} is installed: it cannot be removed alone")
            self._remove(self.directory(ref))

    def prune(self, type: str, id: str, keep: int = 3) -> tuple[PackageRef, ...]:
        """Remove stored releases until `keep` are left; return those removed.

        Those in use are always kept, then those a rollback leads to, then the highest.
        """
        with self._lock:
            way = self.history(type, id).way
            order = {ref: rank for rank, ref in enumerate(self.releases(type, id))}
            ranks = {release: rank for rank, release in enumerate(way, 1)}
            by_worth = sorted(
                order,
                key=lambda ref: (self.is_linked(ref), ranks.get(ref.release, 0), order[ref]),
                reverse=True,
            )
            going = tuple(ref for ref in by_worth[keep:] if not self.is_linked(ref))
            for ref in going:
                self.remove_release(ref)
        return going

    def hold(self, type: str, id: str, held: bool = True) -> None:
        """Exclude a package from updates, or not any more. Raises `NotInstalled`."""
        with self._lock, _translated():
            if self.present(type, id) is None:
                raise NotInstalled(f"{type} '{id}' is not installed from a repository")
            history = attrs.evolve(self.history(type, id), held=held)
            write_history(self.history_file(type, id), history)

    def give_up(self, ref: PackageRef) -> None:
        """Record that a release failed as an update."""
        history = self.history(ref.type, ref.id)
        others = (one for one in history.given_up if one != ref.release)
        self._set_given_up(ref, (*others, ref.release)[-_GIVEN_UP:])

    def succeeded(self, ref: PackageRef) -> None:
        """Clear the failed updates, after a successful one."""
        self._set_given_up(ref, ())

    def _set_given_up(self, ref: PackageRef, releases: tuple[str, ...]) -> None:
        with self._lock, _translated():
            history = self.history(ref.type, ref.id)
            if releases != history.given_up:
                changed = attrs.evolve(history, given_up=releases)
                write_history(self.history_file(ref.type, ref.id), changed)

    def recover(self) -> tuple[str, ...]:
        """Complete or undo interrupted changes; call it first, at the start.

        Returns a sentence for each change, and for what could not be removed.
        """
        with self._lock:
            intents, sentences = self._journal.pending()
            for intent in intents:
                with _noting_errors(sentences, intent.fullname):
                    done = self._settle(intent)
                    change = f"the change to {intent.after}" if intent.after else "the removal"
                    outcome = "finished" if done else "undone"
                    sentences.append(f"{intent.fullname}: {change} was interrupted; {outcome}")
            for leftover in self._leftovers():
                with _noting_errors(sentences, str(leftover)):
                    if leftover.is_dir():
                        durable.remove_tree(leftover)
                    else:
                        leftover.unlink(missing_ok=True)
        return tuple(sentences)

    # the steps

    def _planned(self, ref: PackageRef, part: str, is_new: bool) -> Change:
        if part == RINOR:
            return Change(part, ref, self.served(ref.type, ref.id), is_new)
        manual = self.manual_descriptor(ref.type, ref.id)
        if manual is not None:
            raise ManualDescriptor(manual)
        return Change(part, ref, self.present(ref.type, ref.id), is_new)

    def _move_in(self, staged: Staged) -> None:
        """Rename the staged directory, whose content is synced, to be a release."""
        place = self.directory(staged.ref)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        if place.exists():
            durable.swap(staged.directory, place)
        else:
            staged.directory.rename(place)
        self._step("release in place")
        durable.sync_directory(place.parent)
        durable.sync_directory(place.parent.parent)
        self._step("release lasting")

    def _link_to(self, ref: PackageRef, part: str, leaving: PackageRef | None) -> None:
        if part == RINOR:
            link = self.rinor_link(ref.type, ref.id)
            self._point(link, f"../store/{ref.fullname}/{ref.release}")
            return
        if leaving is not None and leaving != ref:
            history = self.history(ref.type, ref.id).leaving(leaving.release, ref.release)
            write_history(self.history_file(ref.type, ref.id), history)
            self._step("way written")
        self._point_descriptor(ref)

    def _point_descriptor(self, ref: PackageRef) -> None:
        """Switch the link. While both forms exist XML counts: from XML to JSON the removal of the
        XML link is the switch, from JSON to XML the rename."""
        descriptor = self.descriptor(ref)
        link = self.descriptors(ref.type) / f"{ref.id}{descriptor.suffix}"
        self._point(link, f"../{descriptor.relative_to(self.home.store.parent)}")
        for suffix in SUFFIXES:
            other = link.with_suffix(suffix)
            if other != link and other.is_symlink():
                self._step("two forms")
                durable.remove_link(other)

    def _point(self, link: Path, target: str) -> None:
        if not link.is_symlink() or os.readlink(link) != target:  # noqa: PTH115
            durable.point(link, target, self._step)

    def _unlink(self, type: str, id: str, part: str) -> None:
        if part == RINOR:
            durable.remove_link(self.rinor_link(type, id))
            return
        for suffix in reversed(SUFFIXES):
            link = self.descriptors(type) / f"{id}{suffix}"
            if link.is_symlink():
                durable.remove_link(link)
        self._step("link removed")

    @contextlib.contextmanager
    def _changing(self, intent: Intent, *, makes_room: bool = False) -> Iterator[None]:
        with _translated():
            try:
                self._journal.begin(intent)
            except OSError as error:
                # a full disk must not prevent a removal; then an interruption is not recovered
                if not makes_room or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            try:
                self._step("journal written")
                yield
            finally:
                self._settle(intent)

    def _settle(self, intent: Intent) -> bool:
        """Complete the change if its link was switched, else remove what it added.

        It may be repeated after an interruption.
        """
        type, id = intent.type, intent.id
        now = (self.served if intent.part == RINOR else self.present)(type, id)
        done = (now.release if now is not None else None) == intent.after
        if now is not None and intent.part == XPL:
            # nothing describes a release that a person damaged: then the link stays as it is
            with contextlib.suppress(BrokenArchive):
                self._point_descriptor(now)
            self._trim_history(now)
        if done and intent.whole:
            durable.remove_link(self.rinor_link(type, id))
            self._step("rinor link removed")
            if intent.with_data:
                self._remove_data(type, id)
        if intent.doubtful is not None:
            ref = PackageRef(type, id, intent.doubtful)
            if not self.is_linked(ref):
                self._remove(self.directory(ref))
        if self.present(type, id) is None and self.served(type, id) is None:
            self._remove(self.package(type, id))
        self._step("settled")
        self._journal.end(intent)
        return done

    def _trim_history(self, present: PackageRef) -> None:
        """Remove what an incomplete change or a rollback left in the history."""
        history = self.history(present.type, present.id)
        trimmed = history.at(present.release)
        if trimmed != history:
            with contextlib.suppress(OSError):
                write_history(self.history_file(present.type, present.id), trimmed)

    def _remove(self, path: Path) -> None:
        if os.path.lexists(path):
            aside = durable.set_aside(path, self.home.store, _TRASH)
            self._step("set aside")
            durable.remove_tree(aside)

    def _remove_data(self, type: str, id: str) -> None:
        if type == "plugin":
            durable.remove_tree(self.home.plugin_data(id))

    def _leftovers(self) -> Iterator[Path]:
        """Yield temporary files, and nothing that the user may have placed."""
        home = self.home
        for directory in (home.plugins, home.externals, home.rinor):
            yield from directory.glob(f"{durable.LINK_PREFIX}*")
        for prefix in (_STAGING, _TRASH, self._journal.temporary):
            yield from home.store.glob(f"{prefix}*")
        yield from home.store.glob(f"*/.{HISTORY}.*")

    @contextlib.contextmanager
    def _discarded(self, staged: Staged) -> Iterator[None]:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                durable.remove_tree(staged.directory)


def _intent(ref: PackageRef, part: str, after: str | None, doubtful: PackageRef | None) -> Intent:
    return Intent(ref.type, ref.id, part, after, doubtful.release if doubtful else None)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise StoreFailed(f"{place}{error.strerror or error}") from error


@contextlib.contextmanager
def _noting_errors(sentences: list[str], what: str) -> Iterator[None]:
    """Append errors to the sentences; what failed is retried at the next start."""
    try:
        yield
    except (OSError, DomogikError) as error:
        sentences.append(f"{what}: {error}")

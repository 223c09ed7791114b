"""What a home holds after each change of its store, and what is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from packed import package, tree

from domogik.config.home import Home
from domogik.errors import NotPossible
from domogik.packages.archive.unpacking import BrokenArchive
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.store.changes import (
    RINOR,
    XPL,
    ManualDescriptor,
    NotInstalled,
    Store,
    StoreFailed,
)


def ref(release: str, id: str = "demo") -> PackageRef:
    return PackageRef("plugin", id, release)


class Shop:
    """A store and where archives come from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = Home(directory / "home")
        self.home.create()
        self.packages = self.home.path / "packages"
        self.store = Store(self.home)

    def archive(self, release: str = "1.0", **what: str) -> Path:
        return package(self.directory / f"{what.get('id', 'demo')}-{release}.tgz", release, **what)

    def install(self, release: str = "1.0", part: str = XPL, **what: str) -> None:
        self.store.install(self.store.stage(self.archive(release, **what)), part)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_package_is_installed_by_a_link_into_its_own_release(shop: Shop) -> None:
    shop.install()
    link = shop.home.plugins / "demo.xml"
    assert str(link.readlink()) == "../store/plugin-demo/1.0/info.xml"
    assert shop.store.installed() == {"plugin-demo": ref("1.0")}
    assert shop.store.served("plugin", "demo") is None


def test_an_external_model_has_its_own_place(shop: Shop) -> None:
    shop.install(id="box", type="external")
    assert (shop.home.externals / "box.xml").is_symlink()
    assert list(shop.store.installed()) == ["external-box"]


def test_a_package_with_a_json_descriptor_is_installed_by_a_json_link(shop: Shop) -> None:
    shop.install(form="json")
    assert (shop.home.plugins / "demo.json").is_symlink()
    assert shop.store.present("plugin", "demo") == ref("1.0")


def test_the_rinor_part_of_an_installed_release_is_a_link_to_it(shop: Shop) -> None:
    shop.install()
    shop.store.switch(ref("1.0"), RINOR)
    link = shop.home.rinor / "plugin-demo"
    assert str(link.readlink()) == "../store/plugin-demo/1.0"
    assert (link / "src/share/domogik/design/plugin/demo/icon.png").is_file()


def test_the_rinor_part_alone_installs_nothing(shop: Shop) -> None:
    shop.install(part=RINOR)
    assert shop.store.installed() == {}
    assert shop.store.served("plugin", "demo") == ref("1.0")


def test_an_update_leaves_no_file_of_the_old_release_in_the_new_one(shop: Shop) -> None:
    shop.install("1.0")
    shop.install("2.0")
    library = shop.home.store / "plugin-demo/2.0/src/domogik_packages/xpl/lib"
    assert [path.name for path in library.iterdir()] == ["only_2_0.py"]


def test_two_packages_with_a_file_of_one_name_keep_their_own(shop: Shop) -> None:
    shop.install(id="one")
    shop.install("2.0", id="two")
    shop.store.uninstall("plugin", "one")
    assert shop.store.installed() == {"plugin-two": ref("2.0", "two")}
    assert (shop.home.store / "plugin-two/2.0/info.xml").is_file()


def test_after_an_uninstall_everything_is_as_it_was_before(shop: Shop) -> None:
    before = tree(shop.packages)
    shop.install("1.0")
    shop.store.switch(ref("1.0"), RINOR)
    shop.install("2.0")
    shop.store.hold("plugin", "demo")
    (shop.home.store / "plugin-demo/2.0/written-by-the-plugin").write_text("x")
    shop.store.uninstall("plugin", "demo")
    assert tree(shop.packages) == before


def test_an_uninstall_removes_also_what_a_plugin_made_read_only(shop: Shop) -> None:
    shop.install()
    locked = shop.home.store / "plugin-demo/1.0/locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0o500)
    shop.store.uninstall("plugin", "demo")
    assert list(shop.home.store.iterdir()) == []


def test_what_a_plugin_keeps_is_removed_only_when_asked(shop: Shop) -> None:
    data = shop.home.plugin_data("demo")
    data.mkdir(parents=True)
    shop.install()
    shop.store.uninstall("plugin", "demo")
    assert data.is_dir()
    shop.install()
    shop.store.uninstall("plugin", "demo", with_data=True)
    assert not data.exists()


def test_data_behind_a_link_of_the_user_is_not_followed(shop: Shop) -> None:
    elsewhere = shop.directory / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    shop.home.plugin_data("demo").parent.mkdir(parents=True)
    shop.home.plugin_data("demo").symlink_to(elsewhere)
    shop.install()
    shop.store.uninstall("plugin", "demo", with_data=True)
    assert (elsewhere / "precious").is_file()


def test_of_a_descriptor_put_there_by_hand_an_uninstall_removes_only_the_file(shop: Shop) -> None:
    shop.install("1.0", id="other")
    before = tree(shop.packages)
    (shop.home.plugins / "demo.xml").write_bytes(
        (shop.home.store / "plugin-other/1.0/info.xml").read_bytes().replace(b"other", b"demo")
    )
    assert shop.store.installed()["plugin-demo"] == ref("1.0")
    shop.store.uninstall("plugin", "demo")
    assert tree(shop.packages) == before


def test_a_descriptor_put_there_by_hand_is_never_replaced(shop: Shop) -> None:
    own = shop.home.plugins / "demo.xml"
    own.write_text("mine")
    before = tree(shop.packages)
    with pytest.raises(ManualDescriptor, match="by hand"):
        shop.install()
    assert tree(shop.packages) == before


def test_a_link_of_the_user_to_elsewhere_counts_as_put_there_by_hand(shop: Shop) -> None:
    (shop.directory / "mine.xml").write_text("mine")
    (shop.home.plugins / "demo.xml").symlink_to(shop.directory / "mine.xml")
    with pytest.raises(ManualDescriptor):
        shop.install()
    shop.store.uninstall("plugin", "demo")
    assert (shop.directory / "mine.xml").is_file()


def test_what_is_not_installed_cannot_be_uninstalled(shop: Shop) -> None:
    with pytest.raises(NotInstalled, match="plugin 'demo' is not installed"):
        shop.store.uninstall("plugin", "demo")


def test_an_archive_of_another_package_is_refused_and_leaves_nothing(shop: Shop) -> None:
    before = tree(shop.packages)
    for wanted in (ref("1.1"), ref("1.0", "other"), PackageRef("external", "demo", "1.0")):
        with pytest.raises(BrokenArchive, match=r"holds plugin-demo 1\.0, not"):
            shop.store.stage(shop.archive(), wanted)
    assert tree(shop.packages) == before


def test_a_missing_archive_is_said_with_its_name(shop: Shop) -> None:
    with pytest.raises(StoreFailed, match=r"nowhere\.tgz: No such file"):
        shop.store.stage(shop.directory / "nowhere.tgz")
    assert list(shop.home.store.iterdir()) == []


def test_a_release_installed_again_has_what_the_new_archive_holds(shop: Shop) -> None:
    shop.install()
    script = shop.home.store / "plugin-demo/1.0/src/domogik_packages/xpl/bin/demo.py"
    script.write_text("damaged")
    shop.install()
    assert script.read_text() == "print('1.0')\n"
    assert [path.name for path in shop.home.store.iterdir()] == ["plugin-demo"]


def test_a_change_that_is_undone_leaves_what_was_there_before(shop: Shop) -> None:
    before = tree(shop.packages)
    change = shop.store.install(shop.store.stage(shop.archive("1.0")))
    shop.store.undo(change)
    assert tree(shop.packages) == before
    shop.install("1.0")
    before = tree(shop.packages)
    shop.store.undo(shop.store.install(shop.store.stage(shop.archive("2.0"))))
    assert tree(shop.packages) == before


def test_undoing_the_xpl_part_leaves_what_the_main_host_serves(shop: Shop) -> None:
    shop.install(part=RINOR)
    change = shop.store.install(shop.store.stage(shop.archive("2.0")))
    shop.store.undo(change)
    assert shop.store.served("plugin", "demo") == ref("1.0")
    assert shop.store.releases("plugin", "demo") == (ref("1.0"),)


def test_the_last_releases_are_kept_to_go_back_to(shop: Shop) -> None:
    for release in ("0.9", "0.10", "0.11", "0.12"):
        shop.install(release)
    assert shop.store.prune("plugin", "demo") == (ref("0.9"),)
    assert [one.release for one in shop.store.releases("plugin", "demo")] == [
        "0.10",
        "0.11",
        "0.12",
    ]
    assert shop.store.previous("plugin", "demo") == ref("0.11")


def test_what_is_in_use_is_never_pruned(shop: Shop) -> None:
    shop.install("1.0")
    shop.store.switch(ref("1.0"), RINOR)
    shop.install("2.0")
    shop.install("3.0")
    shop.store.prune("plugin", "demo", keep=1)
    assert shop.store.releases("plugin", "demo") == (ref("1.0"), ref("3.0"))
    with pytest.raises(NotPossible):
        shop.store.remove_release(ref("3.0"))


def test_going_back_twice_leads_to_the_release_before_the_last(shop: Shop) -> None:
    for release in ("1.0", "2.0", "3.0"):
        shop.install(release)
    for expected in ("2.0", "1.0"):
        previous = shop.store.previous("plugin", "demo")
        assert previous == ref(expected)
        shop.store.switch(previous, back=True)
    assert shop.store.previous("plugin", "demo") is None


def test_a_hold_is_remembered_over_updates_until_it_is_taken_away(shop: Shop) -> None:
    shop.install("1.0")
    shop.store.hold("plugin", "demo")
    shop.install("2.0")
    assert Store(shop.home).held("plugin", "demo")
    shop.store.hold("plugin", "demo", held=False)
    assert not shop.store.held("plugin", "demo")
    with pytest.raises(NotInstalled):
        shop.store.hold("plugin", "other")


def test_a_start_removes_what_was_in_the_making_and_nothing_else(shop: Shop) -> None:
    shop.install()
    alien = shop.home.store / "notes of the user"
    alien.mkdir()
    before = tree(shop.packages)
    shop.store.stage(shop.archive("2.0"))
    (shop.home.store / ".trash-1").mkdir()
    (shop.home.store / "..journal-plugin-demo.json.tmp").write_text("{")
    (shop.home.store / "plugin-demo/..history.json.tmp").write_text("{")
    (shop.home.plugins / ".switching-demo").symlink_to("nowhere")
    (shop.home.rinor / ".switching-plugin-demo").symlink_to("../store/plugin-demo/1.0")
    assert shop.store.recover() == ()
    assert tree(shop.packages) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"type": "plugin"}', "[" * 9999, "é"])
def test_a_journal_that_says_nothing_keeps_no_start_back(shop: Shop, text: str) -> None:
    shop.install()
    before = tree(shop.packages)
    (shop.home.store / ".journal-plugin-demo.json").write_text(text)
    (sentence,) = shop.store.recover()
    assert "says nothing" in sentence
    assert tree(shop.packages) == before


def test_a_journal_cannot_name_a_path(shop: Shop) -> None:
    (shop.directory / "precious").mkdir()
    text = (
        '{"type": "plugin", "id": "demo", "part": "xpl", "after": null, '
        '"doubtful": "../../../../precious", "whole": false, "with_data": false}'
    )
    (shop.home.store / ".journal-plugin-demo.json").write_text(text)
    shop.store.recover()
    assert (shop.directory / "precious").is_dir()


def test_a_home_whose_name_has_two_dots_in_it_is_the_same_home(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.install()
    crooked = Store(Home(tmp_path / "elsewhere" / ".." / "home"))
    (tmp_path / "elsewhere").mkdir()
    assert crooked.present("plugin", "demo") == ref("1.0")
    assert crooked.installed() == {"plugin-demo": ref("1.0")}

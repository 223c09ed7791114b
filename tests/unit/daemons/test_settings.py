"""What `[daemon:<name>]` may say."""

import pytest

from domogik.config.load import BrokenConfiguration, load
from domogik.daemons.settings import all_settings


@pytest.fixture
def read(tmp_path):
    def found(text):
        (tmp_path / "domogik.cfg").write_text(text)
        return all_settings(load([tmp_path / "domogik.cfg"]))

    return found


def test_a_kind_is_enough(read):
    one = read("[daemon:cache]\nkind = redis\n")["cache"]
    assert (one.kind, one.port, one.bind, one.password) == ("redis", None, "127.0.0.1", None)
    assert (one.run_as, one.keep_running, dict(one.options)) == (None, False, {})


@pytest.mark.parametrize(
    ("bind", "address"), [("localhost", "127.0.0.1"), ("*", "0.0.0.0"), ("::1", "::1")]
)
def test_it_listens_where_configure_would_have_it_listen(read, bind, address):
    assert read(f"[daemon:cache]\nkind = redis\nbind = {bind}\n")["cache"].bind == address


def test_a_password_is_taken_literally(read):
    (one,) = read('[daemon:my-cache]\nkind = redis\npassword = it\'s "a" %41 #1 ;\n').values()
    assert one.password == 'it\'s "a" %41 #1 ;'
    assert one.variable == "DOMOGIK_DAEMON_MY_CACHE"
    assert "it's" not in repr(one)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[daemon:cache]\n", "needs a kind"),
        ("[daemon:cache]\nkind = gopher\n", "gopher"),
        ("[daemon:a b]\nkind = redis\n", "letters, digits"),
        ("[daemon:cache]\nkind = redis\nbind = example.org\n", "not an address"),
        ("[daemon:cache]\nkind = redis\nport = 65536\n", "port"),
        ("[daemon:cache]\nkind = redis\ngopher = 1\n", "no key of a redis"),
        ("[daemon:web]\nkind = nginx\npassword = one\n", "no key of a nginx"),
        ("[daemon:a-b]\nkind = redis\n[daemon:a_b]\nkind = redis\n", "share a variable"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_file(read, text, said):
    with pytest.raises(BrokenConfiguration, match=said) as refused:
        read(text)
    assert "domogik.cfg" in str(refused.value)

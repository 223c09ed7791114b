"""What `[daemon:<name>]` may say."""

import pytest

from domogik.config.load import BrokenConfiguration, load
from domogik.daemons.kinds import kinds
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


@pytest.mark.parametrize(
    ("kind", "key", "value", "option"),
    [
        ("redis", "databases", "4", 4),
        ("redis", "appendonly", "yes", True),
        ("redis", "save", "900 1", "900 1"),
        ("redis", "binary", "/opt/redis/redis-server", "/opt/redis/redis-server"),
        ("mysql", "fsync", "no", False),
        ("apache", "modules", "rewrite, ssl", ["rewrite", "ssl"]),
        ("nginx", "connections", "64", 64),
    ],
)
def test_a_kind_has_keys_of_its_own_of_the_type_of_what_they_usually_are(
    read, kind, key, value, option
):
    one = read(f"[daemon:mine]\nkind = {kind}\n{key} = {value}\n")["mine"]
    assert dict(one.options) == {key: option}
    assert type(one.options[key]) is type(option)


def test_what_every_daemon_may_say_is_read_beside_that(read):
    one = read(
        "[daemon:cache]\nkind = Redis\nport = 6399\nbind = 0.0.0.0\npassword = secret\n"
        "run_as = nobody\nkeep_running = on\ndatabases = 4\n"
    )["cache"]
    assert (one.name, one.kind, one.port, one.bind) == ("cache", "redis", 6399, "0.0.0.0")
    assert (one.password, one.run_as, one.keep_running) == ("secret", "nobody", True)
    assert dict(one.options) == {"databases": 4}


def test_a_key_without_a_value_is_as_if_it_were_not_there(read):
    bare = read("[daemon:cache]\nkind = redis\n")["cache"]
    keys = ("port", "bind", "password", "run_as", "keep_running", "databases", "gopher")
    empty = read("[daemon:cache]\nkind = redis\n" + "".join(f"{key} =\n" for key in keys))["cache"]
    assert empty == bare


def test_only_web_servers_ask_nobody_for_a_password(read):
    found = read("".join(f"[daemon:{kind}]\nkind = {kind}\n" for kind in kinds()))
    assert {name for name, one in found.items() if not one.has_password} == {"nginx", "apache"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port = 0", "port in [daemon:cache] must be at least 1, not '0'"),
        ("port = 65536", "port in [daemon:cache] must be at most 65535, not '65536'"),
        ("port = redis", "port in [daemon:cache] must be a whole number, not 'redis'"),
        ("keep_running = maybe", "keep_running in [daemon:cache] must be yes or no, not 'maybe'"),
        ("databases = many", "databases in [daemon:cache] must be a whole number, not 'many'"),
        ("appendonly = 2", "appendonly in [daemon:cache] must be yes or no, not '2'"),
        (
            "gopher = 1",
            (
                "gopher in [daemon:cache] is no key of a redis: it has appendonly, binary, bind, "
                "databases, keep_running, kind, maxmemory, maxmemory_policy, password, port, "
                "run_as, save, not '1'"
            ),
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_own_line_and_in_whole_words(read, tmp_path, line, said):
    with pytest.raises(BrokenConfiguration) as refused:
        read(f"[daemon:cache]\nkind = redis\n\n{line}\n")
    assert str(refused.value) == f"{tmp_path / 'domogik.cfg'}:4: {said}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[daemon:cache]\nkind = gopher\n", 2),
        ("[daemon:cache]\nkind = redis\nbind = example.org\n", 3),
        (f"[daemon:cache]\nkind = redis\npassword = {'x' * 1025}\n", 3),
        ("[daemon:web]\nkind = apache\npassword = one\n", 3),
        ("# one\n\n[daemon:cache]\n", 3),
        ("# one\n[daemon:a b]\nkind = redis\n", 2),
        (f"[daemon:{'a' * 42}]\nkind = redis\n", 1),
        ("[daemon:]\nkind = redis\n", 1),
        ("[daemon:-a]\nkind = redis\n", 1),
    ],
)
def test_the_line_that_is_wrong_is_named(read, text, line):
    with pytest.raises(BrokenConfiguration) as refused:
        read(text)
    assert refused.value.line == line


@pytest.mark.parametrize(
    ("kind", "password", "said"),
    [
        ("nginx", "s3cret", "password in [daemon:it] is no key of a nginx"),
        ("redis", "s3cret" * 200, "password in [daemon:it] a password has at most 1024"),
    ],
)
def test_a_password_that_will_not_do_is_not_told(read, kind, password, said):
    with pytest.raises(BrokenConfiguration) as refused:
        read(f"[daemon:it]\nkind = {kind}\npassword = {password}\n")
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_forty_one_letters_are_not_too_many(read):
    assert list(read(f"[daemon:{'a' * 41}]\nkind = redis\n")) == ["a" * 41]


@pytest.mark.parametrize("other", ["a_b", "A-B"])
def test_two_names_for_one_variable_are_told_at_the_second_of_them(read, tmp_path, other):
    with pytest.raises(BrokenConfiguration) as refused:
        read(f"[daemon:a-b]\nkind = redis\n[daemon:{other}]\nkind = redis\n")
    assert str(refused.value) == (
        f"{tmp_path / 'domogik.cfg'}:3: [daemon:{other}] would share a variable with [daemon:a-b]"
    )


def test_daemons_are_found_in_the_order_of_the_file_and_nothing_else_is_one(read):
    text = "[daemon:b]\nkind = redis\n[plugins]\nclock = on\n[daemon:a]\nkind = nginx\n"
    assert list(read(text)) == ["b", "a"]

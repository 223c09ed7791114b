"""What a command of the terminal works with: whom it asks, what was asked for, where it writes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from typing import Any

import attrs

from domogik.cli.client import ApiAddress, ApiClient, find_token
from domogik.cli.program import CommandFailed, add_home, configuration_files, home_of
from domogik.cli.terminal import Palette, wants_colours


@attrs.define(eq=False)
class Terminal:
    """What a command needs: whom to ask, what was asked for, where to write."""

    client: ApiClient
    options: argparse.Namespace
    palette: Palette
    is_terminal: bool

    def say(self, text: str) -> None:
        """A line, or lines that end in LF."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()

    def say_json(self, document: object) -> None:
        """One document, in one line."""
        self.say(json.dumps(document, ensure_ascii=True))

    def check_host(self) -> bool:
        """Whether another host is meant than the one that is asked.

        Raises `CommandFailed` for one that was never heard: to ask it would take a minute.
        """
        host = self.options.host
        if host is None:
            return False
        document = self.client.get("/hosts")
        known = sorted({document["host"], *(entry["id"] for entry in document["hosts"])})
        if host not in known:
            raise CommandFailed(f"no host '{host}' was heard; known: {', '.join(known)}")
        return bool(host != document["host"])


def add_common(options: argparse.ArgumentParser, default: Any) -> None:
    """What every command takes; `default` is what argparse puts where they are not given."""
    add_home(options, default)
    options.add_argument(
        "--url",
        default=default,
        help="where REST answers (default: $DOMOGIK_URL, else the home's own socket or port)",
    )
    options.add_argument(
        "--token-file",
        metavar="FILE",
        default=default,
        help="holds the token (default: $DOMOGIK_TOKEN, else the home's admin.token)",
    )
    options.add_argument(
        "--host", default=default, help="the Domogik host that is meant (default: that of REST)"
    )
    options.add_argument(
        "--json", action="store_true", default=default or False, help="for programs"
    )


def _client(options: argparse.Namespace) -> ApiClient:
    home = home_of(options, os.environ)
    url = options.url or os.environ.get("DOMOGIK_URL")
    if url:
        address = ApiAddress.parse(url)
    else:
        address = ApiAddress.of_home(home, configuration_files(home, options, os.environ))
    token = find_token(options.token_file, os.environ, home)
    return ApiClient(address, token, f"{home.token} cannot be read, so give one with --token-file")


def open_terminal(options: argparse.Namespace) -> Terminal:
    """The terminal of a command that asks REST; raises `CommandFailed`."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    palette = Palette(wants_colours(sys.stdout, os.environ), columns)
    return Terminal(_client(options), options, palette, sys.stdout.isatty())

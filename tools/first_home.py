"""The home of `make run`: one where nothing is configured yet has a repository of the examples."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from domogik.config.files import read_bounded, write_atomically
from domogik.config.home import Home
from domogik.errors import DomogikError
from domogik.packages.publish.build import create
from domogik.packages.publish.repository import build_repository

home = Home.from_options(sys.argv[1], {})
fresh = not home.configuration.exists()
home.create()
repository = home.path / "examples"
if fresh:
    repository.mkdir(exist_ok=True)
    sources = read_bounded(home.sources, 65536)
    line = f"# the examples of the clone that this home was made by\n500 {repository.as_uri()}\n"
    write_atomically(home.sources, sources + line.encode())
if repository.is_dir():
    # those of today: who changes an example and its release is offered the update
    archives = repository / "archives"
    archives.mkdir(exist_ok=True)
    for example in sorted(Path(sys.argv[2]).iterdir()):
        if (example / "src").is_dir():
            try:
                create(example, archives)
            except DomogikError as error:
                print(f"{example.name} is not offered: {error}", file=sys.stderr)
    build_repository(
        archives, repository, generated=datetime.now(UTC).isoformat(" ", "seconds"), name="examples"
    )

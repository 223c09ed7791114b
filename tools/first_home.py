"""The home of `make run`: one where nothing is configured yet offers the example plugins."""

import sys

from domogik.config.edit import set_value
from domogik.config.home import Home

home = Home.from_options(sys.argv[1], {})
fresh = not home.configuration.exists()
home.create()
if fresh:
    set_value(home.configuration, "domogik", "src_prefix", sys.argv[2])

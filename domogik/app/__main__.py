"""`python -m domogik.app manager ...`: the daemons without an installed command."""

from domogik.app.commands.start import by_name

by_name()

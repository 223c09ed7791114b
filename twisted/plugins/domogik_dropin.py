"""What `twistd` offers of ours. There is no `__init__.py` beside this file, ever."""

from domogik.app.twistd import DomogikServiceMaker

manager = DomogikServiceMaker("manager", "Domogik: the manager of this host's plugins.")
hub = DomogikServiceMaker("hub", "Domogik: the xPL hub alone.")
dbmgr = DomogikServiceMaker("dbmgr", "Domogik: the database manager alone.")
rest = DomogikServiceMaker("rest", "Domogik: the REST server alone.")

"""The terminal's part of the table of operations.

Made by `python -m domogik.manager.operations`: what is changed here is lost.
"""

# fmt: off
# ruff: noqa: E501

#: command, help, method and path below /api/v1, what is printed (nothing: a component), parameters
COMMANDS: tuple[tuple[str, str, str, str, str, tuple[tuple[str, str, str, bool], ...]], ...] = (
    ('dmg_ctl start', 'start it; answered once it is alive or running', 'POST', '/components/{id}/start', '', ()),
    ('dmg_ctl daemon start', 'start it; answered once it is alive or running', 'POST', '/components/{id}/start', '', ()),
    ('dmg_ctl unit start', 'start it; answered once it is alive or running', 'POST', '/components/{id}/start', '', ()),
    ('dmg_ctl stop', 'stop it; answered once no process of it is left', 'POST', '/components/{id}/stop', '', ()),
    ('dmg_ctl daemon stop', 'stop what needs it, then it', 'POST', '/components/{id}/stop', '', ()),
    ('dmg_ctl unit stop', 'stop it; answered once no process of it is left', 'POST', '/components/{id}/stop', '', ()),
    ('dmg_ctl restart', 'stop it if it runs, then start it', 'POST', '/components/{id}/restart', '', ()),
    ('dmg_ctl daemon restart', 'stop it if it runs, then start it', 'POST', '/components/{id}/restart', '', ()),
    ('dmg_ctl unit restart', 'stop it if it runs, then start it', 'POST', '/components/{id}/restart', '', ()),
    ('dmg_ctl enable', 'have it started with the manager', 'POST', '/components/{id}/enable', '', ()),
    ('dmg_ctl unit enable', 'have it started with the host, and start it', 'POST', '/components/{id}/enable', '', ()),
    ('dmg_ctl disable', 'do not have it started with the manager; not while it runs', 'POST', '/components/{id}/disable', '', ()),
    ('dmg_ctl unit disable', 'stop it, and have it started with the host no more', 'POST', '/components/{id}/disable', '', ()),
    ('dmg_ctl unit rule', 'a polkit rule that lets a manager without root manage the declared units', 'GET', '/units/rule', '{rule}', (('user', 'Who may, by default the user of the manager.', 'option', False),)),
    ('dmg_ctl daemon reload', 'have it read its configuration again', 'POST', '/components/{id}/reload', '', ()),
    ('dmg_ctl daemon credentials', 'where it is reached, with its password: for the token only', 'GET', '/components/{id}/credentials', '{url}', ()),
    ('dmg_ctl daemon backup', 'write all its data into a new file', 'POST', '/components/{id}/backup', '{file}: {size_bytes} bytes', (('file', 'A new name among the backups of this host, by default of daemon and time.', 'word', False),)),
    ('dmg_ctl daemon restore', 'put a backup in place of its data; who needs it is stopped meanwhile', 'POST', '/components/{id}/restore', '', (('file', 'Its name among the backups of this host; no path.', 'word', True),)),
    ('dmg_pkgmgr uninstall', 'remove everything that a package brought', 'POST', '/packages/{type}/{id}/uninstall', '', (('with_data', 'Its own data too.', 'flag', False),)),
    ('dmg_pkgmgr hold', 'have updates leave a package alone', 'POST', '/packages/{type}/{id}/hold', '', ()),
    ('dmg_pkgmgr unhold', 'have it updated again', 'POST', '/packages/{type}/{id}/unhold', '', ()),
)

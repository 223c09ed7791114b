"""`dmg_pkgmgr`: packages, through `/api/v1`; and what their authors need, without a manager."""

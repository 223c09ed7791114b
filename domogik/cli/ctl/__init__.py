"""`dmg_ctl`: components, configuration and health, through `/api/v1`."""

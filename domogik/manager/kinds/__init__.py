"""The kinds of component: plugins, managed daemons, units, core services, external members."""

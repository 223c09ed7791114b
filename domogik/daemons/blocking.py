"""Managed daemons for programs that wait for each call: `BlockingDaemon`."""

from domogik.daemons.throwaway.blocking import BlockingDaemon, Reached, Turns

__all__ = ["BlockingDaemon", "Reached", "Turns"]

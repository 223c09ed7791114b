"""Mosquitto."""

from domogik.daemons.mosquitto.daemon import MosquittoDaemon, MosquittoDaemonError

__all__ = ["MosquittoDaemon", "MosquittoDaemonError"]

"""xPL, the protocol of home automation; knows nothing of plugins or packages."""

from pkgutil import extend_path

# Packages of the 0.2 era bring `src/domogik/xpl/lib/<id>.py`; they find theirs beside ours.
__path__ = extend_path(__path__, __name__)

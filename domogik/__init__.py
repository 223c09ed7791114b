"""Domogik: one daemon a host that keeps plugins, and the services they need, alive."""

from pkgutil import extend_path

# Packages of the 0.2 era bring `src/domogik/xpl/lib/<id>.py`; they find theirs beside ours.
__path__ = extend_path(__path__, __name__)

__version__ = "0.4.0.dev0"

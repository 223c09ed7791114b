"""The xPL protocol for home automation."""

from pkgutil import extend_path

# Packages of the 0.2 era bring `src/domogik/xpl/lib/<id>.py`; they find theirs beside ours.
__path__ = extend_path(__path__, __name__)

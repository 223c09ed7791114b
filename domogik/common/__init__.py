"""What plugins of Domogik 0.2 and 0.3 import beside `domogik.xpl.common`."""

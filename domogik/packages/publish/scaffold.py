"""Creates a new package: a working plugin, its descriptor, icon, test and README."""

from __future__ import annotations

import keyword
import re
import struct
import zlib
from pathlib import Path

from domogik.errors import NotPossible
from domogik.packages.descriptor.package import PNG_SIGNATURE, SCRIPTS
from domogik.packages.descriptor.reference import ID, refusal

_SIZE = 96

_SCRIPT = '''\
"""Plugin {id}: says hello again and again."""

from domogik.plugin import TRIG, Plugin, run


class {name}(Plugin):
    async def started(self):
        seconds = await self.config.number("interval", 60, minimum=1)
        self.every(seconds, self.greet)
        self.greet()

    def greet(self):
        self.send(TRIG, "sensor.basic", {{"device": "{id}", "type": "count", "current": 1}})


if __name__ == "__main__":
    run({name})
'''

_DESCRIPTOR = """\
<?xml version="1.0" encoding="UTF-8"?>
<package type="plugin">
  <id>{id}</id>
  <technology>service</technology>
  <description>Says hello again and again</description>
  <version>0.1.0</version>
  <changelog>0.1.0: first release</changelog>
  <documentation>README.md</documentation>
  <author>Your name</author>
  <author-email>you@example.org</author-email>
  <configuration-keys>
    <key>
      <order-id>0</order-id>
      <name>startup-plugin</name>
      <type>boolean</type>
      <description>Start the plugin together with the manager</description>
      <default-value>True</default-value>
      <interface>no</interface>
      <optionnal>no</optionnal>
    </key>
    <key>
      <order-id>1</order-id>
      <name>interval</name>
      <type>number</type>
      <description>Seconds between two messages</description>
      <default-value>60</default-value>
      <interface>no</interface>
      <optionnal>no</optionnal>
    </key>
  </configuration-keys>
  <dependencies/>
  <udev-rules/>
  <device_technology>
    <id>service</id>
    <name>Service</name>
    <description>Services that need no hardware</description>
  </device_technology>
  <device_types/>
  <device_feature_models/>
</package>
"""

_TEST = '''\
"""What plugin {id} promises. Run it with: trial tests/test_{id}.py"""

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from domogik.testing import PluginHarness

SCRIPT = Path(__file__).resolve().parents[1] / "{script}"


class {name}Test(TestCase):
    def setUp(self):
        self.network = PluginHarness(reactor, Path(self.mktemp()))
        self.network.start()
        self.addCleanup(self.network.stop)

    async def test_says_hello(self):
        plugin = self.network.run(SCRIPT, "{id}", {{"interval": "30"}})
        message = await self.network.heard(lambda one: one.schema == "sensor.basic")
        self.assertEqual(message.get("device"), "{id}")
        plugin.signal("TERM")
        self.assertEqual(await plugin.ended, 0)
'''

_README = """\
# {id}

Says hello again and again: a plugin for Domogik.

    trial tests/test_{id}.py         its test
    dmg_pkgmgr check .               what is wrong with the package
    dmg_pkgmgr create . -o archives  the archive that people install

{script} is the plugin, src/share/domogik/plugins/{id}.xml says what it is and what can be set.
Everything under src/ goes into the archive.
"""


def scaffold(id: str, directory: Path) -> Path:
    """Write a new package to `directory`/`id` and return that path; nothing is overwritten.

    Blocks. Raises `NotPossible` and `OSError`.
    """
    if not ID.fullmatch(id) or not re.search(r"[a-z]", id):
        raise NotPossible(
            f"'{id}' cannot be the id of a plugin: 1 to 8 of a-z, 0-9 and _, with a letter"
        )
    if refusal(id):
        raise NotPossible(refusal(id))
    package = directory / id
    if package.exists():
        raise NotPossible(f"{package} is there already: choose another id, or remove it")
    script = SCRIPTS[0].format(id=id)
    name = id.strip("_0123456789").title().replace("_", "")
    if keyword.iskeyword(name):  # none, true and false
        name += "Plugin"
    words = {"id": id, "name": name, "script": script}
    files = {
        script: _SCRIPT,
        f"src/share/domogik/plugins/{id}.xml": _DESCRIPTOR,
        f"tests/test_{id}.py": _TEST,
        "README.md": _README,
    }
    for place, text in files.items():
        path = package / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**words), encoding="utf-8")
    icon = package / f"src/share/domogik/design/plugin/{id}/icon.png"
    icon.parent.mkdir(parents=True)
    icon.write_bytes(_icon())
    return package


def _icon() -> bytes:
    """Return a square of one colour in PNG form."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack("!I", len(content)) + checked + struct.pack("!I", zlib.crc32(checked))

    row = b"\0" + bytes((0, 150, 136)) * _SIZE
    header = struct.pack("!IIBBBBB", _SIZE, _SIZE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * _SIZE)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(chunk(kind, content) for kind, content in parts)

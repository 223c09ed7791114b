"""What the author of a plugin imports: `Plugin`, `listen`, `run`, and what a message is.

A whole plugin::

    from domogik.plugin import TRIG, Plugin, run

    class Hello(Plugin):
        async def started(self):
            self.every(60, self.greet)

        def greet(self):
            self.send(TRIG, "sensor.basic", {"device": "hello", "current": "1"})

    if __name__ == "__main__":
        run(Hello)

The same for code that waits and blocks, in a thread of its own::

    class Hello(Plugin):
        def work(self):
            while self.sleep(60):
                self.send(TRIG, "sensor.basic", {"device": "hello", "current": "1"})
"""

from domogik.plugin.author import Plugin, listen
from domogik.plugin.program import run, run_beside
from domogik.plugin.threads import Stopping
from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.message import CMND, STAT, TRIG, InvalidMessage, Message
from domogik.xpl.node.configuration import Value

__all__ = [
    "CMND",
    "STAT",
    "TRIG",
    "InvalidMessage",
    "Message",
    "Plugin",
    "Stopping",
    "Value",
    "decode",
    "encode",
    "listen",
    "run",
    "run_beside",
]

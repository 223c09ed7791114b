"""`/`: the status document, in the shape that Domogik's clients read."""

from __future__ import annotations

import attrs

from domogik.api.rinor.envelope import RinorAnswer
from domogik.api.rinor.events import MAX_TICKETS, EventPaths
from domogik.api.router import Asked
from domogik.manager.interfaces import IAllHosts

#: the API that Domoweb 0.3 asks for; any other number is refused by it
REST_API_VERSION = "0.6"

#: key, description, default: what the original let people tune; here they are fixed
_CONFIGURATION = (
    ("q-timeout", "Seconds an answer is waited for", "15"),
    ("q-size", "Size of the queues of lists and details", "10"),
    ("q-pkg-size", "Size of the queue of packages", "10"),
    ("q-cmd-size", "Size of the queue of commands", "1000"),
    ("q-life-exp", "Seconds an answer is kept", "3"),
    ("q-sleep", "Seconds between two looks at a queue", "0.1"),
    ("evt-timeout", "Seconds an unused ticket is kept", "300"),
    ("q-evt-timeout", "Seconds an event is waited for", "120"),
    ("q-evt-size", "Size of a queue of events", "50"),
    ("q-evt-life-exp", "Seconds an event is kept", "5"),
)
_FILES = {"XML_files_loaded": [], "XML_files_KO": [], "XML_files_last_load": ""}
_QUEUES = {
    "package_usage": "0/10",
    "system_list_usage": "0/10",
    "system_detail_usage": "0/10",
    "system_start_usage": "0/10",
    "system_stop_usage": "0/10",
    "command_usage": "0/1000",
}


@attrs.define(eq=False)
class StatusDocument:
    """Who we are; the queues of the original are told as empty, for there are none."""

    _all_hosts: IAllHosts
    _events: EventPaths
    _version: str
    _use_ssl: bool

    async def show(self, asked: Asked) -> RinorAnswer:
        """Both spellings of the versions: clients of 0.2 and of 0.3 read different ones."""
        info: dict[str, object] = {
            "REST_API_version": REST_API_VERSION,
            "Domogik_version": self._version,
            "Sources_version": self._version,
            "SSL": self._use_ssl,
            "Host": self._all_hosts.host,
            "REST_API_release": REST_API_VERSION,
            "Domogik_release": self._version,
            "Sources_release": self._version,
        }
        configuration = [
            {
                "id": place,
                "key": key,
                "description": description,
                "type": "Number",
                "default": default,
                "element_type": "item",
                "optionnal": "no",
            }
            for place, (key, description, default) in enumerate(_CONFIGURATION)
        ]
        document = {
            "info": info,
            "command": _FILES,
            "stats": _FILES,
            "queue": _QUEUES,
            "event": self._event_words(),
            "configuration": configuration,
        }
        return RinorAnswer("rest", [document])

    def _event_words(self) -> dict[str, object]:
        return {
            "Number_of_Domogik_events_requests": len(self._events.tickets),
            "Number_of_devices_events_requests": 0,
            "Max_size_for_request_queues": MAX_TICKETS,
            # the original lists them by ticket; anybody may read this, and a ticket is a secret
            "Domogik_requests": {},
            "Devices_requests": {},
        }

"""A message as plugins of Domogik 0.2 and 0.3 build and read it."""

from collections.abc import Mapping

from domogik.common.dmg_exceptions import XplMessageError
from domogik.common.ordereddict import OrderedDict
from domogik.plugin import CMND, STAT, TRIG, InvalidMessage, Message, decode, encode

__all__ = ["XplMessage", "XplMessageError"]


class XplMessage:
    """A message that is filled step by step: `set_type`, `set_schema`, `add_data`, then sent.

    `data` maps each name to its text, or to a list of texts where the name comes more than once.
    What xPL does not allow raises `XplMessageError`, at the latest in `to_packet`.
    """

    def __init__(self, packet: str | bytes | None = None) -> None:
        self.type = ""
        self.hop_count = 1
        self.source = ""
        self.source_vendor_id = self.source_device_id = self.source_instance_id = ""
        self.target = ""
        self.target_vendor_id = self.target_device_id = self.target_instance_id = ""
        self.schema = ""
        self.schema_class = self.schema_type = ""
        self.data = OrderedDict()
        if packet is not None:
            self.from_packet(packet)

    @classmethod
    def of(cls, message: Message) -> "XplMessage":
        """Return what was received, as a plugin of that time reads it."""
        self = cls()
        self.set_type(message.type)
        self.set_header(message.hop, message.source, message.target)
        self.set_schema(message.schema)
        for name, value in message.body:
            self.add_single_data(name, value)
        return self

    def message(self, source: str = "") -> Message:
        """Return it as `domogik.plugin` has it, from `source` where none was set."""
        pairs = tuple(
            (str(name), str(one))
            for name, value in self.data.items()
            for one in (value if isinstance(value, list) else [value])
        )
        return Message(
            self.type,
            self.source or source,
            self.target or "*",
            schema=self.schema,
            body=pairs,
            hop=self.hop_count,
        )

    def set_type(self, type_: str) -> None:
        """`type_` is xpl-cmnd, xpl-stat or xpl-trig."""
        if type_ not in (CMND, STAT, TRIG):
            raise XplMessageError(f"Invalid type ({type_})")
        self.type = type_

    def set_hop_count(self, hop_count: int | str) -> None:
        """`hop_count` is 1 to 9."""
        self.hop_count = int(hop_count)

    def inc_hop_count(self) -> None:
        """Count one network more."""
        self.hop_count += 1

    def set_source(self, source: str) -> None:
        """`source` is vendor-device.instance; what a plugin sends is always from its own."""
        self.source = source
        parts = _address(source)
        self.source_vendor_id, self.source_device_id, self.source_instance_id = parts

    def set_target(self, target: str) -> None:
        """`target` is vendor-device.instance, or `*`."""
        self.target = target
        parts = ("", "", "") if target == "*" else _address(target)
        self.target_vendor_id, self.target_device_id, self.target_instance_id = parts

    def set_header(
        self,
        hop_count: int | str | None = None,
        source: str | None = None,
        target: str | None = None,
    ) -> None:
        """Set what is given."""
        if hop_count is not None:
            self.set_hop_count(hop_count)
        if source is not None:
            self.set_source(source)
        if target is not None:
            self.set_target(target)

    def set_schema(self, schema: str) -> None:
        """`schema` is class.type."""
        self.schema_class, dot, self.schema_type = schema.partition(".")
        if not dot:
            raise XplMessageError(f"Invalid schema ({schema})")
        self.schema = schema

    def add_single_data(self, name: str, value: object) -> None:
        """Add one value; a name that is there already gets a list of its values."""
        text = str(value)
        if "\n" in text or not name:
            raise XplMessageError(f"Invalid data ({name}={text})")
        if name not in self.data:
            self.data[name] = text
        elif isinstance(self.data[name], list):
            self.data[name].append(text)
        else:
            self.data[name] = [self.data[name], text]

    def add_data(self, data: Mapping[str, object]) -> None:
        """Add each name and value."""
        for name, value in data.items():
            self.add_single_data(name, value)

    def set_data(self, data: Mapping[str, object]) -> None:
        """Replace the values."""
        self.clear_data()
        self.add_data(data)

    def clear_data(self) -> None:
        """Remove all values."""
        self.data = OrderedDict()

    def from_packet(self, packet: str | bytes) -> None:
        """Read it from what was on the network."""
        data = packet.encode() if isinstance(packet, str) else packet
        try:
            self.__dict__.update(vars(XplMessage.of(decode(data))))
        except InvalidMessage as error:
            raise XplMessageError(str(error)) from error

    def to_packet(self) -> str:
        """Return it as it is on the network."""
        try:
            return encode(self.message(), addressed=True).decode("utf-8", "replace")
        except InvalidMessage as error:
            raise XplMessageError(str(error)) from error

    def is_valid(self) -> bool:
        """Return whether xPL allows it."""
        try:
            self.to_packet()
        except XplMessageError:
            return False
        return True

    def __str__(self) -> str:
        body = "".join(f"{name}={value}\n" for name, value in self.message().body)
        header = f"hop={self.hop_count}\nsource={self.source}\ntarget={self.target}\n"
        return f"{self.type}\n{{\n{header}}}\n{self.schema}\n{{\n{body}}}\n"


def _address(text: str) -> tuple[str, str, str]:
    vendor, dash, rest = text.partition("-")
    device, dot, instance = rest.partition(".")
    if not (vendor and dash and device and dot and instance):
        raise XplMessageError(f"Invalid address ({text})")
    return vendor, device, instance

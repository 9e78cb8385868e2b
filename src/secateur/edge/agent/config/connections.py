"""The configuration of sources and sinks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from secateur.edge.agent.config.addresses import Host, HttpUrl, OpcUaUrl
from secateur.edge.agent.config.parts import File, Folder, Name, Part, PlantName, Port, Positive
from secateur.edge.agent.config.secret import Secret, Token

TOPIC_PATTERN = r"^[^\x00-\x1f#+$][^\x00-\x1f#+]*$"
PREFIX_PATTERN = r"^[^\x00-\x1f#+${}/][^\x00-\x1f#+{}/]*(/[^\x00-\x1f#+{}/]+)*$"
Topic = Annotated[str, Field(max_length=400, pattern=TOPIC_PATTERN)]
"""Without wildcards; what begins with ``$`` is the broker's own, or a shared subscription."""


def _no_state(group: str) -> str:
    if group == "STATE":
        raise ValueError("STATE is no group of Sparkplug: hosts say there whether they are online")
    return group


class Tls(Part):
    """TLS of a connection; host names are always checked.

    Attributes
    ----------
    ca_file : Path or None
        Certificates to trust; default: those of the system.
    certificate_file, key_file : Path or None
        Of this client, where the server asks for them.
    """

    ca_file: File | None = None
    certificate_file: File | None = None
    key_file: File | None = None

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> Tls:
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file belongs to a certificate_file; give both")
        return self


class Broker(Part):
    """An MQTT broker and how to speak to it."""

    host: Host = "127.0.0.1"
    port: Port = 1883
    tls: Tls | None = None
    username: str | None = None
    password: Secret | None = None
    client_id: Name | None = None
    keepalive_s: Annotated[int, Field(ge=1, le=3600)] = 20

    @model_validator(mode="after")
    def _password_of_a_user(self) -> Broker:
        if self.password is not None and self.username is None:
            raise ValueError("password belongs to a username; give both")
        return self


class MqttSource(Broker):
    """Bursts, or parts of bursts, from MQTT topics.

    Attributes
    ----------
    topic : str
        With ``{machine}`` and ``{sensor}`` where their names stand, such as
        ``plant/{machine}/{sensor}/burst``.
    payload : {"json", "raw", "sparkplug"}
        See docs/agent.md. With ``sparkplug`` the topic is the group, such as ``plant``; edge nodes are
        machines and devices are sensors.
    host_id : str or None
        With ``sparkplug``: by this name the agent says that it is online, for nodes that have it as their
        primary host.
    incomplete_after_s : float
        A burst of several messages that is not whole after so long is dropped and counted.
    """

    type: Literal["mqtt"]
    topic: Topic
    payload: Literal["json", "raw", "sparkplug"] = "json"
    host_id: Name | None = None
    incomplete_after_s: Positive = 10.0

    @model_validator(mode="after")
    def _names_in_the_topic(self) -> MqttSource:
        levels = self.topic.split("/")
        if self.host_id is not None and self.payload != "sparkplug":
            raise ValueError("host_id belongs to payload: sparkplug; leave it out")
        if self.payload == "sparkplug":
            if len(levels) != 1 or "{" in self.topic:
                raise ValueError("topic is the Sparkplug group alone, such as plant")
            _no_state(self.topic)
        elif levels.count("{machine}") != 1 or levels.count("{sensor}") != 1:
            raise ValueError("topic must hold {machine} and {sensor}, each as one whole level")
        elif any("{" in level for level in levels if level not in ("{machine}", "{sensor}")):
            raise ValueError("topic holds a name in braces other than {machine} and {sensor}")
        return self

    @property
    def subscription(self) -> str:
        """What is asked for at the broker."""
        if self.payload == "sparkplug":
            return f"spBv1.0/{self.topic}/#"
        return self.topic.replace("{machine}", "+").replace("{sensor}", "+")


class FolderSource(Part):
    """Bursts as files in a folder: ``MACHINE/SENSOR/NAME.npy`` (or ``.json``, ``.raw``).

    Attributes
    ----------
    folder : Path
        Files are taken when they are whole; write aside and rename.
    done : {"delete", "keep"}
        What happens to a file that was taken; kept ones move to ``done/``. Refused ones move to ``refused/``.
    """

    type: Literal["folder"]
    folder: Folder
    every_s: Positive = 1.0
    done: Literal["delete", "keep"] = "delete"


class ReplaySource(Part):
    """A recording, sent as bursts of one sensor.

    Attributes
    ----------
    channel : int or None
        Its number from 0; None: the only one that can be vibration.
    speed_factor : float
        1 is real time; 0 as fast as bursts are taken.
    """

    type: Literal["replay"]
    file: File
    machine: PlantName
    sensor: PlantName
    channel: Annotated[int, Field(ge=0)] | None = None
    speed_factor: Annotated[float, Field(ge=0)] = 1.0
    repeat: bool = False


class OpcUaSource(Part):
    """The shaft speed of a machine, and bursts of a sensor, from an OPC UA server.

    Attributes
    ----------
    speed_node, burst_node : str or None
        Node identifiers, such as ``ns=2;i=3``; a burst is an array of numbers.
    """

    type: Literal["opcua"]
    url: OpcUaUrl
    machine: PlantName
    sensor: PlantName | None = None
    speed_node: str | None = None
    burst_node: str | None = None
    every_s: Positive = 1.0

    @model_validator(mode="after")
    def _something_to_read(self) -> OpcUaSource:
        if self.speed_node is None and self.burst_node is None:
            raise ValueError("give speed_node, burst_node or both")
        if (self.burst_node is None) != (self.sensor is None):
            raise ValueError("burst_node and sensor belong together")
        return self

    @property
    def feeds_speed(self) -> bool:
        """Whether it gives the speed of its machine."""
        return self.speed_node is not None


class ModbusSpeed(Part):
    """The shaft speed of a machine from holding or input registers of a Modbus TCP device.

    Attributes
    ----------
    registers : {"holding", "input"}
    address : int
        Of the first register, from 0.
    number : {"uint16", "int16", "uint32", "float32"}
        Two registers stand with the high word first.
    factor : float
        From the number read to turns a minute.
    """

    type: Literal["modbus"]
    host: Host = "127.0.0.1"
    port: Port = 502
    device_id: Annotated[int, Field(ge=0, le=255)] = 1
    machine: PlantName
    registers: Literal["holding", "input"] = "holding"
    address: Annotated[int, Field(ge=0, le=65535)]
    number: Literal["uint16", "int16", "uint32", "float32"] = "uint16"
    factor: Positive = 1.0
    every_s: Positive = 1.0

    @model_validator(mode="after")
    def _second_register(self) -> ModbusSpeed:
        if self.number in ("uint32", "float32") and self.address == 65535:
            raise ValueError(f"a {self.number} takes two registers, and 65535 is the last; lower address")
        return self

    @property
    def feeds_speed(self) -> bool:
        """Whether it gives the speed of its machine."""
        return True


Source = Annotated[
    MqttSource | FolderSource | ReplaySource | OpcUaSource | ModbusSpeed, Field(discriminator="type")
]


class MqttSink(Broker):
    """Results as MQTT 5 messages, acknowledged by the broker (QoS 1).

    Attributes
    ----------
    topic : str
        Prefix; results go to ``PREFIX/MACHINE/SENSOR/result``, alarms to ``.../alarm``.
    acknowledged_within_s : float
        Without an acknowledgement for so long the connection is given up and made anew.
    """

    type: Literal["mqtt"]
    name: Name = "mqtt"
    topic: Annotated[str, Field(max_length=400, pattern=PREFIX_PATTERN)] = "secateur"
    acknowledged_within_s: Positive = 10.0


class SparkplugSink(Broker):
    """Results as metrics of a Sparkplug B edge node, one device a sensor.

    Attributes
    ----------
    group, node : str
    primary_host : str or None
        Identifier of the host application without which nothing is sent.
    """

    type: Literal["sparkplug"]
    name: Name = "sparkplug"
    group: Annotated[Name, AfterValidator(_no_state)]
    node: Name
    primary_host: Name | None = None
    acknowledged_within_s: Positive = 10.0


class LogSink(Part):
    """Results as CSV, one file a day, or as Parquet, one an hour, where pyarrow is installed.

    Attributes
    ----------
    days : int
        Files of so many days are kept, the latest.
    """

    type: Literal["csv", "parquet"]
    name: Name = "log"
    folder: Folder
    days: Annotated[int, Field(ge=1)] = 366


class WebhookSink(Part):
    """Alarms (and results, if asked for) as JSON to an address.

    Attributes
    ----------
    url : str
    token : Token or None
        Sent as ``Authorization: Bearer``.
    send : {"alarms", "all"}
    """

    type: Literal["webhook"]
    name: Name = "webhook"
    url: HttpUrl
    token: Token | None = None
    send: Literal["alarms", "all"] = "alarms"
    timeout_s: Positive = 10.0


Sink = Annotated[MqttSink | SparkplugSink | LogSink | WebhookSink, Field(discriminator="type")]

"""Message brokers to compare with: each run from a folder of its own, with every acknowledgement durable.

A side carries messages over ``PAIRS`` queues. ``send`` returns when the broker has confirmed the message, and
``arrived`` is called when its consumer has it; the consumer acknowledges each. What a broker cannot promise,
its ``durable`` says.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.place import HUB_CORE, free_ports
from benchmarks.processes import Server, Skipped, need

PAIRS = 8
PREFETCH = 256


def library(name: str, package: str) -> Any:
    """Return an imported client library."""
    try:
        return import_module(name)
    except ImportError:
        raise Skipped(f"the library {name} is not installed: pip install {package}") from None


class Broker(ABC):
    """One broker and its clients. Opened and closed inside one event loop."""

    name = ""
    durable = "yes"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrived: Callable[[bytes], object] = lambda _body: None
        self.running = ExitStack()
        self.server: Server

    @abstractmethod
    async def open(self) -> None:
        """Start the broker and connect; raises Skipped if something is not installed."""

    @abstractmethod
    async def send(self, pair: int, body: bytes) -> None:
        """Return when the broker has confirmed."""

    async def close(self) -> None:
        """Disconnect and stop."""
        self.running.close()


def _takes(program: str, config: Path) -> bool:
    """Return whether this nats-server knows all that stands in a configuration."""
    return not subprocess.run([program, "-t", "-c", config], capture_output=True, check=False).returncode


class JetStream(Broker):
    """NATS JetStream with a file store."""

    name = "nats-jetstream"

    async def open(self) -> None:
        """Run nats-server; one that cannot sync each message is named for what it is."""
        program = need("nats-server", "apt-get install nats-server")
        nats = library("nats", "nats-py")
        api = library("nats.js.api", "nats-py")
        (port,) = free_ports(1)
        self.folder.mkdir()
        config = self.folder / "nats.conf"
        store = f'host: 127.0.0.1\nport: {port}\njetstream {{ store_dir: "{self.folder}/store"'
        config.write_text(f"{store}, sync_interval: always }}\n")
        if not _takes(program, config):
            self.durable = "no: this nats-server syncs every 2 minutes; 2.10 or later can sync always"
            config.write_text(f"{store} }}\n")
        self.server = self.running.enter_context(Server.running([program, "-c", config], port, core=HUB_CORE))
        self._client = await nats.connect(f"nats://127.0.0.1:{port}")
        self._stream = self._client.jetstream()
        await self._stream.add_stream(
            name="bench", subjects=["bench.*"], storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.WORK_QUEUE,
        )  # fmt: skip
        for pair in range(PAIRS):
            ours = api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT, max_ack_pending=PREFETCH)
            await self._stream.subscribe(
                f"bench.{pair}", durable=f"c{pair}", cb=self._came, manual_ack=True, config=ours
            )

    async def _came(self, message: Any) -> None:
        await message.ack()
        self.arrived(message.data)

    async def send(self, pair: int, body: bytes) -> None:
        """Publish and await the stream's acknowledgement."""
        await self._stream.publish(f"bench.{pair}", body)

    async def close(self) -> None:
        """Disconnect and stop."""
        if hasattr(self, "_client"):
            await self._client.close()
        await super().close()


_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Behind the script on PATH, which would change to a user and a folder of the system's own."""


class RabbitMq(Broker):
    """RabbitMQ with quorum queues, publisher confirms and manual acknowledgements, by aio-pika."""

    name = "rabbitmq-quorum"

    async def open(self) -> None:
        """Run a rabbitmq-server with a name, a store and a port mapper of its own."""
        epmd = need("epmd", "apt-get install erlang-base")
        pika = self._pika = library("aio_pika", "aio-pika")
        program = need(_RABBITMQ, "apt-get install rabbitmq-server")
        port, mapper, distribution = free_ports(3)
        self.folder.mkdir()
        # What would open more doors than the one for us stays shut.
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
        (self.folder / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.running.callback(_kill_mapper, epmd, mapper)
        self.server = self.running.enter_context(
            Server.running([program], port, env=environment, core=HUB_CORE)
        )
        self._connection = await pika.connect(f"amqp://guest:guest@127.0.0.1:{port}/")
        self._exchanges = []
        for pair in range(PAIRS):
            out = await self._connection.channel(publisher_confirms=True)
            self._exchanges.append(out.default_exchange)
            back = await self._connection.channel()
            await back.set_qos(prefetch_count=PREFETCH)
            arguments = {"x-queue-type": "quorum"}
            queue = await back.declare_queue(f"bench.{pair}", durable=True, arguments=arguments)
            await queue.consume(self._came)

    async def _came(self, message: Any) -> None:
        await message.ack()
        self.arrived(message.body)

    async def send(self, pair: int, body: bytes) -> None:
        """Publish and await the confirm."""
        message = self._pika.Message(body, delivery_mode=self._pika.DeliveryMode.PERSISTENT)
        await self._exchanges[pair].publish(message, routing_key=f"bench.{pair}")

    async def close(self) -> None:
        """Disconnect and stop."""
        if hasattr(self, "_connection"):
            await self._connection.close()
        await super().close()


def _kill_mapper(epmd: str, port: int) -> None:
    """End the port mapper that Erlang has started beside the server."""
    environment = {**os.environ, "ERL_EPMD_PORT": str(port)}
    subprocess.run([epmd, "-kill"], env=environment, capture_output=True, check=False)


class Mosquitto(Broker):
    """Mosquitto at QoS 1 or 2, its state written to disk at each change."""

    durable = "its whole state is written at each change"

    def __init__(self, folder: Path, qos: int) -> None:
        super().__init__(folder)
        self.name = f"mosquitto-qos{qos}"
        self._qos = qos
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._early: set[int] = set()

    async def open(self) -> None:
        """Run mosquitto; paho's clients run in threads of their own."""
        program = need("mosquitto", "apt-get install mosquitto")
        paho = library("paho.mqtt.client", "paho-mqtt")
        (port,) = free_ports(1)
        self.folder.mkdir()
        config = self.folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            f"{user}listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_on_changes true\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_inflight_messages 0\n"
        )
        self.server = self.running.enter_context(Server.running([program, "-c", config], port, core=HUB_CORE))
        self._loop = asyncio.get_running_loop()
        version = paho.CallbackAPIVersion.VERSION2
        taking = paho.Client(version, client_id="taking", clean_session=False)
        taking.on_message = self._came
        self._sending = paho.Client(version, client_id="sending", clean_session=False)
        self._sending.on_publish = self._confirmed
        self._sending.max_inflight_messages_set(PREFETCH)
        for client in (taking, self._sending):
            client.connect("127.0.0.1", port)
            client.loop_start()
            self.running.callback(client.loop_stop)
            self.running.callback(client.disconnect)
        subscribed = self._loop.create_future()
        taking.on_subscribe = lambda *_: self._loop.call_soon_threadsafe(subscribed.set_result, None)
        taking.subscribe("bench/#", qos=self._qos)
        await asyncio.wait_for(subscribed, 10)

    def _came(self, _client: object, _data: object, message: Any) -> None:
        self._loop.call_soon_threadsafe(self.arrived, message.payload)

    def _confirmed(self, _client: object, _data: object, number: int, *_: object) -> None:
        self._loop.call_soon_threadsafe(partial(self._wake, number))

    def _wake(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.pop(number).set_result(None)
        else:
            self._early.add(number)

    async def send(self, pair: int, body: bytes) -> None:
        """Publish and await PUBACK or PUBCOMP."""
        number = self._sending.publish(f"bench/{pair}", body, qos=self._qos).mid
        if number in self._early:
            self._early.discard(number)
            return
        self._waiting[number] = self._loop.create_future()
        await self._waiting[number]

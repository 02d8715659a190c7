"""What people see: where to look, a live table on a terminal, plain lines elsewhere.

A terminal gets a table that is redrawn in place, the newest messages at the bottom, a tick for each step a
message has made with its milliseconds. Anything else (a file, a pipe, CI) gets one line a message, when its
last word is known. Colour by rich, hence none without a terminal or with NO_COLOR.
"""

import shutil
import time
from collections import deque
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.network import HOST, PASSWORD, Network, account_of, command_path
from demo.watching import STEPS, Row
from protocols.hl7 import catalogue
from protocols.link.envelope import State

_STYLES: Final = {
    State.QUEUED: "yellow",
    State.ACCEPTED: "cyan",
    State.DELIVERED: "blue",
    State.PROCESSED: "green",
}
_BACK: Final = "bold red"
_REFRESH_PER_S: Final = 10
_SHOWN_ROWS: Final = 200
_WIDE_COLUMNS: Final = 134
_UNBOUNDED_COLUMNS: Final = 1_000
_AROUND_ROWS: Final = 7
"""Lines of the screen that are not messages: title, header, rules, the line below."""
_LEAST_ROWS: Final = 8
_ROWS_BESIDE_HEADING: Final = 12
"""If at least this many messages fit below it, where to look stays on the screen."""


class Screen:
    """The table and its counts; used as a context manager, which shows it and leaves it standing."""

    def __init__(self, console: Console, network: Network) -> None:
        self._console = console
        self._network = network
        self._rows: deque[str] = deque(maxlen=_SHOWN_ROWS)
        self._known: dict[str, Row] = {}
        self._done = 0
        self._began_s = time.monotonic()
        self._said = ""
        self._heading_rows = 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._picture,
                console=self._console,
                refresh_per_second=_REFRESH_PER_S,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show what is going on: below the table, or as a line."""
        self._said = text
        if text and self._live is None:
            self._console.print(Text(text), soft_wrap=True)

    def show(self, changed: list[Row]) -> None:
        """Take in what has changed."""
        for row in changed:
            if row.id not in self._known:
                self._rows.append(row.id)
            self._known[row.id] = row
            if row.settled:
                self._done += 1
                if self._live is None:
                    self._console.print(_line(row), soft_wrap=True)
        while len(self._known) > 2 * _SHOWN_ROWS:
            del self._known[next(iter(self._known))]

    def _picture(self) -> RenderableType:
        width, height = self._console.size
        room = height - _AROUND_ROWS
        if room - self._heading_rows >= _ROWS_BESIDE_HEADING:
            room -= self._heading_rows
        room = max(_LEAST_ROWS, room)
        wide = width >= _WIDE_COLUMNS
        table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("message", no_wrap=True, min_width=8)
        if wide:
            table.add_column("what", no_wrap=True, min_width=22, ratio=1)
        table.add_column("from", no_wrap=True, overflow="ellipsis", ratio=None if wide else 1)
        table.add_column("to", no_wrap=True, overflow="ellipsis", ratio=None if wide else 1)
        table.add_column("state", no_wrap=True, min_width=9)
        for step in STEPS[1:] if wide else ():
            table.add_column(step.word, justify="right", no_wrap=True, style=_STYLES[step])
        if wide:
            table.add_column("answer", no_wrap=True, min_width=10)
        else:
            table.add_column("ms", justify="right", no_wrap=True, min_width=5)
        for identifier in list(self._rows)[-room:]:
            table.add_row(*_cells(self._known[identifier], wide=wide))
        return Group(table, self._below())

    def _below(self) -> Text:
        under_way = sum(not row.settled for row in self._known.values())
        minutes = max(1.0, time.monotonic() - self._began_s) / 60
        rate = self._done / minutes
        counts = f"  times in ms · {self._done} processed · {under_way} under way · {rate:.0f} a minute"
        return Text.assemble((counts, "bold"), ("   " + self._said, "dim"), overflow="ellipsis", no_wrap=True)

    def where_to_look(self, *, once: bool) -> None:
        """Print homes and ports, and commands to try unless all is over soon."""
        network = self._network
        home, hub = network.directory, network.hub_home
        places = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for name in ("", "home", "HL7 by MLLP", "JSON API", "health and metrics"):
            places.add_column(name, header_style="dim", no_wrap=True)
        places.add_row(
            Text("hub", "bold magenta"), str(hub), "", "", f"http://{HOST}:{network.http_port}/metrics"
        )
        for name, node in network.nodes.items():
            ports = node.ports
            places.add_row(
                Text(name, "bold"), str(node.home), f"{HOST}:{ports.mllp}", f"{HOST}:{ports.api}",
                f"http://{HOST}:{ports.http}/metrics",
            )  # fmt: skip
        first, *_, last = network.nodes
        path = _path_to_commands()
        commands = [
            *([f"export PATH={path}:$PATH"] if path else []),
            f"wasl-node sent  --home {home / first}",
            f"wasl-node inbox --home {home / last}",
            f"wasl-node track ID --home {home / first}        (an ID that `sent` shows)",
            f"wasl-hub facilities --home {hub}",
            f"wasl-hub track ID   --home {hub}        (what the hub knows: never the content)",
        ]
        desks = _desks(network)
        commands = [*desks, *commands]
        trying = Text("\n".join(commands))
        trying.highlight_regex(r"(?m)^(export PATH|wasl-\w+ \w+|http\S+)", "bold green")
        hint = () if once else ("", Text("To try, in a browser and in another terminal:", "dim"), trying)
        picture = Panel(Group(places, *hint), title="[bold]Wasl · وصل[/]", box=ROUNDED, title_align="left")
        unbounded = self._console.options.update(max_width=_UNBOUNDED_COLUMNS)
        needed = Measurement.get(self._console, unbounded, picture).maximum
        if self._console.is_terminal and self._console.width >= needed:
            self._console.print(picture)
            self._heading_rows = len(self._console.render_lines(picture))
        else:
            self._console.print(_plain_places(network), soft_wrap=True, highlight=False)
            told = "" if once else "\nTo try in another terminal:\n" + "\n".join(commands) + "\n"
            self._console.print(Text(told), soft_wrap=True)


def _desks(network: Network) -> list[str]:
    """Return where the desks are, and who signs in there."""
    found = [(node, account_of(node.site)) for node in network.nodes.values() if node.site.doctor]
    return [
        f"http://localhost:{node.ports.desk}/    desk of {node.site.name}: "
        f"sign in as {name}, password: {PASSWORD}"
        for node, name in found
    ]


def _plain_places(network: Network) -> Text:
    lines = [
        f"hub: {network.hub_home}", f"  metrics   http://{HOST}:{network.http_port}/metrics",
    ]  # fmt: skip
    for name, node in network.nodes.items():
        lines += [
            f"{name}: {node.home}",
            f"  HL7 by MLLP  {HOST}:{node.ports.mllp}    JSON API  {HOST}:{node.ports.api}",
            f"  metrics      http://{HOST}:{node.ports.http}/metrics",
        ]
    return Text("\n".join(lines))


def _path_to_commands() -> str:
    """Return the directory of Wasl's commands if they are not on the PATH; else nothing."""
    here = Path(command_path("wasl-node"))
    return "" if shutil.which("wasl-node") == str(here) else str(here.parent)


def _cells(row: Row, *, wide: bool) -> list[RenderableType]:
    message = Text(f"{row.kind}!", "bold red") if row.urgent else Text(row.kind, "bold")
    state = Text(row.state.word, _STYLES.get(row.state, _BACK))
    state.stylize("bold" if row.settled else "")
    cells: list[RenderableType] = [message]
    if wide:
        title = catalogue.title_of(row.kind, "en")
        cells.append(Text.assemble(("STAT ", "bold red"), title) if row.urgent else Text(title))
    cells += [Text(row.sender), Text(row.recipient), state]
    if wide:
        cells += [_tick(row, step) for step in STEPS[1:]]
        cells.append(Text(row.reason, _BACK) if row.reason else Text(row.answered, "dim"))
    else:
        cells.append(Text(str(row.took_ms) if row.settled else "…", "bold"))
    return cells


def _tick(row: Row, step: State) -> Text:
    at_ms = row.steps_ms.get(step)
    return Text("·", "dim") if at_ms is None else Text(f"{at_ms}")


def _line(row: Row) -> Text:
    """One finished message in one line."""
    clock = datetime.fromtimestamp(row.created_ms / 1000).astimezone().strftime("%H:%M:%S")
    steps = " → ".join(
        f"{step.word} {row.steps_ms[step]}" if row.steps_ms.get(step) else step.word
        for step in STEPS
        if step in row.steps_ms
    )
    urgent = "  STAT" if row.urgent else ""
    last = f"  returned: {row.reason}" if row.reason else f" ms  {row.answered}"
    return Text(f"{clock}  {row.kind:<8} {row.sender:>26} → {row.recipient:<26} {steps}{last}{urgent}")

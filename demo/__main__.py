"""``python -m demo [--once] [--keep DIR]``: start the country, let it live, show it, stop it."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from demo.checking import findings
from demo.network import DemoError, Network
from demo.people import SITES
from demo.scenes import Country, Scene
from demo.screen import Screen
from demo.watching import Row, Watch

EXIT_FAILED: Final = 1
LOOK_EVERY_S: Final = 0.1
SETTLE_TIMEOUT_S: Final = 30.0
BETWEEN_S: Final = 0.25
"""After a scene, so that its last message is shown before the next one's caption."""
PAUSE_S: Final = (0.6, 2.2)
"""Between two scenes of the steady traffic."""
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--once", is_flag=True, help="Play each scene once, check everything, and end.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Work in this new directory, and leave it there.",
)
def main(*, once: bool, keep: Path | None) -> None:
    """Run a hub and three invented facilities on this machine, with real traffic, until Ctrl-C."""
    console = Console(highlight=False)
    try:
        with _directory(keep) as directory:
            sys.exit(asyncio.run(_run(console, directory, once=once)))
    except DemoError as error:
        console.print(Text(str(error), "bold red"), soft_wrap=True)
        sys.exit(EXIT_FAILED)


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Give a private directory: a temporary one, or ``keep``, which must not hold anything."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise DemoError(f"{keep} is not empty: name a new directory")
        keep.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield keep.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="wasl-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


async def _run(console: Console, directory: Path, *, once: bool) -> int:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDINGS:
        loop.add_signal_handler(number, ending.set)
    network = Network(directory, SITES)
    starting = asyncio.create_task(asyncio.to_thread(_start, network, desks=not once))
    try:
        with console.status("Starting a hub and three nodes: keys, homes, joining …"):
            await starting
        code = await _live(console, network, ending, once=once)
    finally:
        with console.status("Stopping …"):
            await asyncio.wait([starting])
            unclean = await asyncio.to_thread(network.stop)
    if unclean:
        console.print(Text(f"did not stop cleanly: {', '.join(unclean)}", "bold red"))
        return EXIT_FAILED
    if not once:
        console.print("Stopped.")
    return code


def _start(network: Network, *, desks: bool) -> None:
    """Start the daemons, and the desks where somebody has the time to look at them."""
    network.start()
    if desks:
        network.start_desks()


async def _live(console: Console, network: Network, ending: asyncio.Event, *, once: bool) -> int:
    country, watch, screen = Country(network), Watch(network), Screen(console, network)
    await country.start()
    try:
        screen.where_to_look(once=once)
        with screen:
            looking = asyncio.create_task(_keep_looking(watch, screen))
            living = asyncio.create_task(_play_once(country, screen) if once else _play_on(country, screen))
            ended = asyncio.create_task(_told_to_end(ending))
            try:
                await asyncio.wait({looking, living, ended}, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return EXIT_FAILED if once else 0
                for task in (looking, living):
                    if task.done():
                        task.result()
                await _settled(watch, screen, looking)
                screen.say("")
            finally:
                for task in (looking, living, ended):
                    task.cancel()
                await asyncio.gather(looking, living, ended, return_exceptions=True)
        return await asyncio.to_thread(_judge, console, country, watch.rows)
    finally:
        await country.stop()
        watch.close()


async def _told_to_end(ending: asyncio.Event) -> None:
    await ending.wait()


async def _keep_looking(watch: Watch, screen: Screen) -> None:
    while True:
        screen.show(await asyncio.to_thread(watch.look))
        await asyncio.sleep(LOOK_EVERY_S)


async def _settled(watch: Watch, screen: Screen, looking: asyncio.Task[None]) -> None:
    """Wait until nothing is under way any more, or for as long as that may take."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + SETTLE_TIMEOUT_S
    screen.say("waiting for the last answers")
    await asyncio.sleep(2 * LOOK_EVERY_S)
    while loop.time() < deadline_s and not looking.done():
        if all(row.settled for row in watch.rows.values()):
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def _play_once(country: Country, screen: Screen) -> None:
    for scene in country.scenes():
        await _play(scene, screen)
    await country.all_answered()


async def _play_on(country: Country, screen: Screen) -> None:
    random = SystemRandom()
    scenes = country.scenes()
    for scene in scenes:
        await _play(scene, screen)
    while True:
        fallen = country.network.fallen()
        if fallen:
            raise DemoError(f"ended by itself: {', '.join(fallen)}")
        await asyncio.sleep(random.uniform(*PAUSE_S))
        await _play(random.choices(scenes, [scene.weight for scene in scenes])[0], screen)


async def _play(scene: Scene, screen: Screen) -> None:
    screen.say(scene.caption)
    await scene.play()
    await asyncio.sleep(BETWEEN_S)


def _judge(console: Console, country: Country, rows: dict[str, Row]) -> int:
    console.print()
    failed = False
    for finding in findings(country, rows):
        failed |= bool(finding.faults)
        mark = Text("✗ ", "bold red") if finding.faults else Text("✓ ", "bold green")
        console.print(mark + Text(finding.what), soft_wrap=True)
        for fault in finding.faults:
            console.print(Text(f"    {fault}", "red"), soft_wrap=True)
    return EXIT_FAILED if failed else 0


if __name__ == "__main__":
    main()

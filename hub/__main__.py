"""``python -m hub`` is ``wasl-hub``, where the console script is not at hand."""

from hub.cli import main

main(prog_name="wasl-hub")

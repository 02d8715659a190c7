"""``python -m nodes`` is ``wasl-node``, where the console script is not at hand."""

from nodes.cli import main

main(prog_name="wasl-node")

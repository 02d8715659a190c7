"""``python -m nodes.desk`` is ``wasl-desk``, where the console script is not at hand."""

from nodes.desk.cli import main

main(prog_name="wasl-desk")

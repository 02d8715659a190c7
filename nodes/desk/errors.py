"""What the desk's services refuse."""


class DeskRefused(Exception):  # noqa: N818 - past tense states the outcome
    """Something that is not done, with a stable ``code`` for pages and a text for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NotThere(DeskRefused):
    """What was asked about does not exist, or not for who asked."""

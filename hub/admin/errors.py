"""What the services refuse."""


class AdminRefused(Exception):  # noqa: N818 - past tense states the outcome
    """Something that is not done, with a stable ``code`` for programs and a text for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NotThere(AdminRefused):
    """What was asked about does not exist."""

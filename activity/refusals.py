"""The one way to say no to somebody who asked for something."""


class Refused(Exception):
    """A wish that is understood and turned down; `message` is for people, `code` for programs.

    Codes used here: `role`, `observe_only`, `settled`; apps add their own, such as `busy` or `taken`.
    """

    def __init__(self, message: str, code: str = "refused") -> None:
        super().__init__(message)
        self.message = message
        self.code = code

"""The errors that a user can cause, each with one paragraph that says what to do."""


class UserError(Exception):
    """A mistake in the input or the surroundings; `str(error)` is one paragraph that says what to do.

    The command line prints it without a traceback and exits with status 2. Control characters in the message
    are escaped, since names and values from files may contain any.
    """

    def __str__(self) -> str:
        """Return the message with control characters escaped."""
        return escaped(super().__str__())


class ConfigError(UserError):
    """An unknown or ill-typed configuration field, value, algorithm or variant."""


class DataError(UserError):
    """A dataset that cannot be found, read or trusted; names the key, the row and the reason."""


class RunError(UserError):
    """A run folder or checkpoint that cannot be read, written or resumed."""


def escaped(text: str) -> str:
    """Return `text` with everything that does not print, line ends apart, as Python's escape sequences."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def shown(text: object, limit: int = 100) -> str:
    """Return a name or value from a file as one line to put into a message: escaped, at most `limit` long."""
    line = escaped(" ".join(str(text)[: 10 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."

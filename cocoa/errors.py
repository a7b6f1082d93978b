"""The errors that a user can cause, each told in one paragraph that says what to do."""


class UserError(Exception):
    """A mistake in the input or the surroundings; `str(error)` is one paragraph that says what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class ConfigError(UserError):
    """An unknown or ill-typed configuration field, value, algorithm or variant."""


class DataError(UserError):
    """A dataset that cannot be found, read or trusted; names the key, the row and the reason."""


class RunError(UserError):
    """A run folder or checkpoint that cannot be read, written or resumed."""

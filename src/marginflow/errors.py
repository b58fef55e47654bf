"""The errors a user can cause: each message says what was got, what was expected and what to do."""


class InputError(ValueError):
    """The input cannot be used: wrong shape, value, option or file. The command line exits with 2."""


class UndefinedError(ValueError):
    """The question has no answer on this problem (for example, a diagonal model with d != d_z)."""

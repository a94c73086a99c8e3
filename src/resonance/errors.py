"""The one error that a user is meant to read."""


class UserError(Exception):
    """Something that the user can put right.

    The message is one sentence or two: the file or key, the value found, what is allowed, what to do next.
    The command line prints it without a traceback and leaves with exit code 1.
    """

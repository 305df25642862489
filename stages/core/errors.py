"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """Something in the user's files or parameters is wrong.

    The message names the file or field and says what to do. Command lines print it without a traceback and exit 1.
    """

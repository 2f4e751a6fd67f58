"""The one error this program raises on purpose."""


class InputError(Exception):
    """What we were given cannot work; trying again with the same input would not help.

    The message is for a person: what was wrong, where, and what to write instead. Ends the process with exit code 2,
    every other exception (a full disk, a store out of reach) with 1.
    """

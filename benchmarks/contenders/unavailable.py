"""What a contender says that cannot take part here."""


class Unavailable(Exception):
    """The reason, for the reader of the table."""

"""What a program about one thing is made of."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effect:
    """One such program, without its frame.

    Attributes
    ----------
    name, scope : str
        What the summary calls it: one of many of a scope.
    top, files, args, close : str
        As those of a `drawn.scopes.Scope`.
    around : str
        The context manager around every call.
    train : bool, optional
        Whether the step trains, if it is not drawn.
    declare : str
        Variables that are changed, or a statement that declares them.
    takes : str
        The step's parameter besides ``x``.
    state : str
        What has to agree besides the parameter and the optimizer: a list.
    """

    name: str
    scope: str
    step: str
    changes: tuple[str, ...]
    local: str = ""
    top: str = ""
    after: str = ""
    args: str = ""
    close: str = ""
    around: str = ""
    train: bool | None = None
    declare: str = ""
    takes: str = ""
    state: str = ""
    files: dict = field(default_factory=dict)

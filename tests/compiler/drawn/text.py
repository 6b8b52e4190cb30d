"""Templates of program text: ``$name`` stands for a part that is filled in."""

import re

_NAME = re.compile(r"\$(\w+)")
_WORD = re.compile(r"\w+")


def fill(template: str, **parts: str) -> str:
    """``template`` with ``parts`` in the place of their names; unknown names stay.

    A name alone on its line takes a part of several lines, which are indented as it is; one
    whose part is empty goes with its line.
    """
    lines = []
    for line in template.split("\n"):
        alone = _NAME.fullmatch(line.strip())
        if alone and alone[1] in parts:
            space = line[: len(line) - len(line.lstrip())]
            part = parts[alone[1]]
            lines += [space + text if text else "" for text in part.split("\n")] if part else []
        else:
            lines.append(_NAME.sub(lambda match: parts.get(match[1], match[0]), line))
    return "\n".join(lines)


def indented(text: str, by: int = 4) -> str:
    """``text`` moved to the right."""
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))


def words(text: str) -> set[str]:
    """The names that stand in ``text``."""
    return set(_WORD.findall(text))

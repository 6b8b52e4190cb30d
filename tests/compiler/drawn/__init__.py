"""Drawn programs: steps that read outside state in Python, and what changes that state.

``kinds`` has the values that a step reads and what it does with them, ``containers`` what
they may lie in, ``scopes`` where the outermost of these is kept, ``readers`` which code looks
at it, ``effects`` programs about one thing each (an optimizer's option, a hook, a mode).
``program`` puts them together, and ``twins`` runs an eager and a compiled copy.
"""

"""Watching a step's Python code while it is captured: each read of outside state is guarded.

``watch`` runs a step once. ``reads`` (``attributes``, ``contents``, ``tensors``) makes guards of
what it reads, ``changing`` reads again what keeps changing, ``writes`` notes what it writes, and
``operators`` computes. ``calls`` decides which functions run as instrumented copies, as they are
(``trust``), or not at all: ``construction`` of instances, ``native_calls`` (``native`` has the
functions of C that are known), ``builtin_calls``, ``live`` ones that each replay makes again.
``watched_hooks`` reports to the watch, ``recording`` notes what is computed, and ``guards`` are
checked before a replay.
"""

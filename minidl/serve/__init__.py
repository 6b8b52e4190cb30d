"""Models behind HTTP: the Open Inference Protocol, single pictures, and a page for people.

A request goes through `guard` (limits, token), `app` (routes), `protocol` or `pictures` (decoding)
to the `batching` of its model, which `registry` keeps and `server` runs.
"""

from minidl.serve.app import build
from minidl.serve.batching import Settings
from minidl.serve.errors import RequestError
from minidl.serve.server import serve

"""Tools around training; so far ``utils.data``, the way from a data set to batches."""

from minidl.utils import data

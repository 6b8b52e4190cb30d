"""Models as ONNX files, written and read.

`export` records what a model computes and writes that as a graph; `load` makes a module of a
graph, which can be trained on where the file's model could. Each operator is written and read
by a pair of functions in ``minidl/onnx/operators``.
"""

from minidl.onnx.errors import OnnxError, UnsupportedOperator
from minidl.onnx.export import OPSET, export, to_bytes
from minidl.onnx.load import from_bytes, load
from minidl.onnx.metadata import Metadata
from minidl.onnx.module import OnnxModule

"""What all CUDA C kernels share: finding, compiling and launching the `.cu` files.

`include/` holds the CUDA C that several families use.
"""

from minidl.kernels.cuda.arguments import address, integers, packed
from minidl.kernels.cuda.source import FLOATING, CompileError, Source, ctype, grid_for, sources

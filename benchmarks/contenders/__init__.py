"""Who is measured: each library does the same work in its own way.

A contender is an object with a method for each kind of workload that it takes part in. The
method makes everything that is needed, and returns a function that does the work once, waits
until it is done and returns the result. Each library runs in a process of its own, which
alone imports its module here.
"""

LIBRARIES = {
    "minidl": "ours",
    "minidl compiled": "ours",
    "PyTorch": "pytorch",
    "torch.compile": "pytorch",
    "JAX": "xla",
    "Pillow": "pillow",
    "NumPy": "plain_numpy",
}
"""By contender, the module that has it in its dictionary ``CONTENDERS``."""

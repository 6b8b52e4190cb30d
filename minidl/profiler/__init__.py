"""Where a step's time goes, by operator and kernel, beside what the machine could do.

::

    with minidl.profiler.profile() as prof:
        step()
    print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
    prof.export_chrome_trace("trace.json")

``watch`` notes what happens, ``events`` and ``phases`` put it in order, ``costs`` says how much
arithmetic and memory traffic it was, ``averages``, ``table`` and ``trace`` show it.

Names and arguments are those of `torch.profiler`, as far as they go:
https://pytorch.org/docs/stable/profiler.html
"""

from minidl.profiler.averages import FunctionAverage
from minidl.profiler.machine import Ceilings, ceilings
from minidl.profiler.ranges import active, computation, record, record_function
from minidl.profiler.session import profile
from minidl.profiler.table import Averages

"""Models that compute in 8-bit integers.

The integers' ranges come from observers (``observers``, ``histograms``), rounding is rehearsed by
``fake``, the layers are in ``layers``, ``convert`` makes models of them, and ``folding`` gets batch
norms out of the way first.
"""

from minidl.compress.quantization.convert import (
    convert,
    default_qat_qconfig,
    default_qconfig,
    prepare,
    prepare_qat,
    quantize_dynamic,
    quantize_static,
)
from minidl.compress.quantization.fake import (
    FakeQuantize,
    disable_fake_quant,
    disable_observer,
    enable_fake_quant,
    enable_observer,
)
from minidl.compress.quantization.folding import fold_batch_norm
from minidl.compress.quantization.histograms import MSEObserver, PercentileObserver
from minidl.compress.quantization.layers import (
    ObservedConv2d,
    ObservedLinear,
    QConfig,
    QuantizedConv2d,
    QuantizedLinear,
    per_channel,
    per_tensor,
)
from minidl.compress.quantization.observers import (
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    Observer,
)

"""Data sets, the order of their samples, and the loader that makes batches of them.

``dataset`` says what a data set is, ``sampler`` in which order it is read, ``collate`` how
samples become a batch; `DataLoader` puts them together and remembers how far an ``epoch``
has come. It fetches ``blocks`` of whole batches where a data set offers that, else
``samples`` one by one, here or in ``workers``: processes that run ``worker`` and talk to
the loader by ``transport``.
"""

from minidl.utils.data.collate import default_collate, default_convert
from minidl.utils.data.dataset import (
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
)
from minidl.utils.data.loader import DataLoader
from minidl.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minidl.utils.data.worker import WorkerInfo, get_worker_info

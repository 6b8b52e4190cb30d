"""Data sets of pictures: CIFAR, folders of files, and made-up ones that need no download."""

from minidl.vision.datasets.base import MemoryPictures, VisionDataset
from minidl.vision.datasets.cifar import CIFAR10, CIFAR100
from minidl.vision.datasets.download import DownloadError
from minidl.vision.datasets.fake import FakeData
from minidl.vision.datasets.folder import ImageFolder
from minidl.vision.datasets.synthetic import SyntheticPictures

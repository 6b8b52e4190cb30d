"""Pictures: data sets, transforms, networks and grids; torchvision's names and arguments.

``import minidl.vision as torchvision`` serves a program that was written for torchvision.
Single pictures are Pillow's (``pip install minidl[vision]``); data sets that lie in memory
and feed a `DataLoader` do without it.
"""

from minidl.vision import datasets, models, transforms, utils

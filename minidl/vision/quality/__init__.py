"""Data quality first: what is wrong with a data set of pictures, and what is left without it.

`preprocess_data` does it all and reports; the other functions are its parts.
"""

from minidl.vision.quality.duplicates import Duplicates, find_duplicates
from minidl.vision.quality.pictures import Pictures, read_pictures
from minidl.vision.quality.preprocess import Preprocessed, preprocess_data
from minidl.vision.quality.report import QualityReport
from minidl.vision.quality.split import stratified_split
from minidl.vision.quality.statistics import channel_statistics, class_counts

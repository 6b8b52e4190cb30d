"""Whole training runs on CIFAR-10: networks, settings, data, and the loop with its checkpoints.

``examples/cifar_cnn.py`` and the command ``minidl train`` are made of these.
"""

from minidl.recipes.classifier import Classifier, classifier_of, load_model
from minidl.recipes.data import DataError, find_cifar10, limited, load_data
from minidl.recipes.evaluation import accuracy_of, confusion_of
from minidl.recipes.networks import ArticleNet, fast_net
from minidl.recipes.recipe import RECIPES, Recipe
from minidl.recipes.run import Run, RunError
from minidl.recipes.stop import Stop

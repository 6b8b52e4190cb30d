"""Faults that compiled steps had once, each as the program that showed it."""

from steps.faults import arguments, changes, reach, refusals, runs, tensors
from steps.faults.case import REFUSED, SILENT, check

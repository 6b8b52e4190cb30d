"""Smaller and faster models: pruning, 8-bit integers, distillation."""

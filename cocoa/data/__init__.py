"""Offline datasets: found, validated, and turned into transitions for training."""

from cocoa.data.dataset import Dataset, load
from cocoa.data.preprocessing import Scaling, prepare
from cocoa.data.reference import normalized_score

__all__ = ["Dataset", "Scaling", "load", "normalized_score", "prepare"]

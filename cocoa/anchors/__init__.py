"""Anchors: the seeker that walks back to the data, and every variant of where anchors come from."""

from cocoa.anchors.seeker import Seeker, SeekerFit, moments
from cocoa.anchors.variants import Anchors, Ingredients, build_anchors, needs

__all__ = ["Anchors", "Ingredients", "Seeker", "SeekerFit", "build_anchors", "moments", "needs"]

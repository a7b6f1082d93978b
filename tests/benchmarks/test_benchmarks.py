"""What the benchmarks divide by, against XLA's own count; and that their clocks count what was done."""

import pytest

from benchmarks.alone import product_works, seconds
from benchmarks.flops import Net, Sizes, needed
from benchmarks.setting import rates
from benchmarks.updates import compile_update
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek


def test_a_layers_three_products_have_equally_many_operations():
    one = Net([], [(3, 5)], rows=4)
    assert one.forward.flops == 2 * 4 * 3 * 5
    assert one.training.flops == 3 * one.forward.flops
    assert Net([(3, 5)], [], rows=4).training.flops == 2 * one.forward.flops


@pytest.mark.parametrize("cocoa", [None, Seek()], ids=["plain", "cocoa"])
def test_needed_operations_are_about_those_that_xla_counts(cocoa):
    counted = compile_update(REGISTRY["bc"](), cocoa).cost_analysis()["flops"]
    assert 1 <= counted / needed(REGISTRY["bc"](), cocoa, Sizes()).flops < 1.1


def test_products_are_measured_once_and_count_as_often_as_they_occur():
    products = Net([(3, 5)], [(5, 5), (5, 5)], rows=4).training
    each = rates(product_works(products), turns=1, seconds=0)
    assert len(each) == 5  # of the three products of each layer, the first has no gradient of the data
    assert seconds(products, dict.fromkeys(each, 2.0)) == (1 + 1 + 3 * 2) / 2


def test_a_work_has_as_many_turns_and_as_much_time_as_is_asked_for():
    done = []
    found = rates({"one": lambda: done.append(1) or 3.0}, turns=4, seconds=0)
    assert len(done) == 4
    assert found["one"] > 0
    rates({"one": lambda: done.append(1) or 3.0}, turns=1, seconds=0.01)
    assert len(done) > 8

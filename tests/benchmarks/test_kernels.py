"""How many kernels an update is, so that it does not become more without anybody's notice."""

import pytest

from benchmarks.kernels import absent_gpu, compile_for, count_kernels
from cocoa.algos import REGISTRY
from cocoa.anchors import Seek

HLO = """HloModule jit_update

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %negate.1 = f32[4]{0} negate(%p)
}

%many (p.1: f32[4]) -> (f32[4], f32[4]) {
  %p.1 = f32[4]{0} parameter(0)
  ROOT %fusion.3 = (f32[4]{0}, /*index=1*/f32[4]{0}) fusion(%p.1), kind=kLoop, calls=%fused
}

%body.1 (c: (s32[], f32[4])) -> (s32[], f32[4]) {
  %c = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%c), index=1
  %fusion.1 = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
  %dot.1 = f32[4]{0} dot(%fusion.1, %x), lhs_contracting_dims={}, rhs_contracting_dims={}
  ROOT %tuple.1 = (s32[], f32[4]{0}) tuple(%i, %dot.1)
}

ENTRY %main (a: f32[4], i: s32[]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %i = s32[] parameter(1)
  %while.1 = (s32[], f32[4]{0}) while(%t), condition=%cond.1, body=%body.1
  %call.1 = (f32[4]{0}, f32[4]{0}) call(%a), to_apply=%many
  %conditional.1 = f32[4]{0} conditional(%i, %a, %a), branch_computations={%body.1, %many}
  ROOT %conditional.2 = f32[4]{0} conditional(%i, %a, %a), true_computation=%many, false_computation=%body.1
}
"""


def test_kernels_are_counted_through_loops_calls_and_both_branches():
    assert count_kernels(HLO) == 2 + 1 + (2 + 1) + (1 + 2)


@pytest.mark.parametrize(("name", "cocoa", "most"), [("bc", Seek(), 115), ("iql", None, 155)])
def test_an_update_does_not_become_more_kernels(name, cocoa, most):
    compiled = compile_for(None, REGISTRY[name](), cocoa)
    assert 0.8 * most < count_kernels(compiled.as_text()) <= most


def test_there_is_no_gpu_to_compile_for_without_the_packages_for_it(monkeypatch):
    monkeypatch.setattr("jax._src.xla_bridge._topology_factories", {})
    assert absent_gpu() is None

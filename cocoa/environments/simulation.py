"""MuJoCo models that move in today's MuJoCo as in version 2.1, with which D4RL evaluates."""
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, SubElement, parse, tostring

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box

_MARGINS_ADD = tuple(int(part) for part in mujoco.__version__.split(".")[:2]) >= (3, 5)
_WEIGHTS = np.array([1, 2, 2, 1]) / 6


class AsInMujoco21(MujocoEnv):
    """A MuJoCo environment of Gymnasium whose model moves as in MuJoCo 2.1."""

    def document(self) -> Element:
        """Return the model as MJCF."""
        return parse(self.fullpath).getroot()

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model = compiled(self.document())
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        return model, mujoco.MjData(model)


class UnitActions(MujocoEnv):
    """Base of all that are not Gymnasium's: actions in [-1, 1], and quaternions that stay normalised."""

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"]}  # noqa: RUF012

    def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Place the body at positions (Q,) and velocities (V,), its quaternions normalised."""
        super().set_state(qpos, qvel)
        mujoco.mj_normalizeQuat(self.model, self.data.qpos)  # as MuJoCo itself did before 3.2

    def _set_action_space(self) -> Box:
        self.action_space = Box(-1.0, 1.0, (self.model.nu,), np.float32)
        return self.action_space


class Simulation(UnitActions, AsInMujoco21):
    """A simulated body; subclasses set rewards, ends and starts of episodes."""

    def __init__(self, document: Element, frame_skip: int, observation_size: int, **rendering: Any):
        """`document` is the model as MJCF; a step is `frame_skip` of its time steps."""
        self._document = document
        observations = Box(-np.inf, np.inf, (observation_size,), np.float64)
        super().__init__(__file__, frame_skip, observations, **rendering)  # the path is not read

    def document(self) -> Element:
        """Return the model as MJCF."""
        return self._document

    def simulate(self, action: np.ndarray) -> None:
        """Apply an action (A,) for one step."""
        self.data.ctrl[:] = action
        for _ in range(self.frame_skip):
            self.advance()
        if self.render_mode == "human":
            self.render()

    def advance(self) -> None:
        """Simulate one time step of the model."""
        mujoco.mj_step(self.model, self.data)


def runge_kutta(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Simulate one time step by the Runge-Kutta method of order 4, as `mj_step` did in MuJoCo 2 and 3.

    MuJoCo 4 combines the rotations of the stages otherwise, which turns a free body by 1e-6 to 1e-4 rad.
    """
    step = model.opt.timestep
    start, velocity = data.qpos.copy(), data.qvel.copy()
    velocities, accelerations = [velocity], [_acceleration(model, data)]
    for share in (0.5, 0.5, 1.0):
        _place(model, data, start, velocities[-1], share * step)
        data.qvel[:] = velocity + share * step * accelerations[-1]
        velocities.append(data.qvel.copy())
        accelerations.append(_acceleration(model, data))
    _place(model, data, start, _WEIGHTS @ velocities, step)
    data.qvel[:] = velocity + step * (_WEIGHTS @ accelerations)


def _acceleration(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    mujoco.mj_forward(model, data)
    data.qacc_warmstart[:] = data.qacc
    return data.qacc.copy()


def _place(
    model: mujoco.MjModel, data: mujoco.MjData, start: np.ndarray, velocity: np.ndarray, step: float
) -> None:
    """Set the positions that `step` seconds at a velocity lead to."""
    data.qpos[:] = start
    mujoco.mj_integratePos(model, data.qpos, velocity, step)


def add_box(
    document: Element, center: tuple[float, float, float], half_size: tuple[float, float, float]
) -> None:
    """Add a wall that moving bodies collide with, in metres."""
    world = document.find("worldbody")
    assert world is not None
    place = {"pos": _numbers(*center), "size": _numbers(*half_size)}
    SubElement(world, "geom", place, type="box", conaffinity="1", rgba="0.7 0.5 0.3 1")


def compiled(document: Element) -> mujoco.MjModel:
    """Return the model of an MJCF document whose contacts and masses are those of MuJoCo 2.1."""
    _weigh_capsules_as_cylinders(document)
    model = mujoco.MjModel.from_xml_string(tostring(document, encoding="unicode"))
    halve_margins(model)
    return model


def halve_margins(model: mujoco.MjModel) -> None:
    """Have the margins of two geoms taken as before MuJoCo 3.5, if these are equal.

    MuJoCo adds them since, where it took the larger one.
    """
    if _MARGINS_ADD:
        model.geom_margin[:] /= 2


def _weigh_capsules_as_cylinders(document: Element) -> None:
    """Give capsules the mass and inertia that MuJoCo computed before version 2.1.1.

    These were those of a cylinder around the capsule's axis, at each end longer by half of the radius
    (changelog of MuJoCo 2.1.1). Every capsule becomes weightless, and gets such a cylinder that touches
    nothing and is not drawn.
    """
    bodies = document.findall(".//body")
    for body in bodies:
        for capsule in body.findall("geom[@type='capsule']"):
            cylinder = SubElement(body, "geom", capsule.attrib)
            cylinder.attrib.pop("name", None)
            for attribute, value in {
                "type": "cylinder",
                "contype": "0",
                "conaffinity": "0",
                "group": "3",
            }.items():
                cylinder.set(attribute, value)
            radius, *half_length = (float(number) for number in capsule.attrib["size"].split())
            if "fromto" in capsule.attrib:
                start, end = np.array(capsule.attrib["fromto"].split(), float).reshape(2, 3)
                longer = (end - start) / np.linalg.norm(end - start) * radius / 2
                cylinder.set("fromto", _numbers(*(start - longer), *(end + longer)))
            else:
                cylinder.set("size", _numbers(radius, half_length[0] + radius / 2))
            capsule.set("mass", "0")


def _numbers(*values: float) -> str:
    return " ".join(repr(float(value)) for value in values)

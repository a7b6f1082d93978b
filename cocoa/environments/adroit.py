"""D4RL's tasks of the Adroit hand, in gymnasium-robotics' models, which are D4RL's.

Gymnasium-robotics' own environments pay for the distance from hand to object (1.2.1 to 1.4.2), never end an
episode of the pen, and have other time limits. Source: D4RL 1.1, `hand_manipulation_suite`.
"""
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from cocoa.environments.robotics import RoboticsSimulation

State = Mapping[str, np.ndarray]


class AdroitHand(RoboticsSimulation, ABC):
    """A hand of 24 joints on an arm, driven to positions; a step takes 10 ms.

    `info["success"]` is D4RL's `goal_achieved`: whether the goal is reached now.
    """

    metadata = {**RoboticsSimulation.metadata, "render_fps": 100}  # noqa: RUF012

    def __init__(self, task: str, observation_size: int, **rendering: Any):
        """`task` is a name of the models' files."""
        super().__init__(f"adroit_hand/adroit_{task}.xml", 5, observation_size, **rendering)
        low, high = self.model.actuator_ctrlrange.T
        self._middle, self._half = (low + high) / 2, (high - low) / 2

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Drive joints to positions (A,); -1 and 1 are the ends of their ranges."""
        self.simulate(self._middle + np.clip(action, -1, 1) * self._half)
        reward, success = self.outcome()
        return self.observation(), float(reward), self.failed(), False, {"success": bool(success)}

    def reset_model(self) -> np.ndarray:
        """Start an episode with objects where `draw` has them, and return the observation."""
        self.set_env_state({"qpos": self.init_qpos, "qvel": self.init_qvel, **self.draw()})
        return self.observation()

    def set_env_state(self, state: State) -> None:
        """Place everything as a row of D4RL's files says: its columns below `infos/`, by name.

        These are `qpos`, `qvel`, and the columns that the class names.
        """
        self.arrange(state)
        self.set_state(np.asarray(state["qpos"], float), np.asarray(state["qvel"], float))

    @abstractmethod
    def observation(self) -> np.ndarray:
        """Return what the policy sees now."""

    @abstractmethod
    def outcome(self) -> tuple[Any, Any]:
        """Return the reward of the state, and whether the goal is reached."""

    @abstractmethod
    def draw(self) -> State:
        """Return where a new episode has its objects, as `arrange` takes it."""

    @abstractmethod
    def arrange(self, state: State) -> None:
        """Move what has no joints to where a state has it."""

    def failed(self) -> bool:
        """Return whether the episode ends here."""
        return False

    def _site(self, name: str) -> np.ndarray:
        return self.data.site(name).xpos

    def _body(self, name: str) -> np.ndarray:
        return self.data.body(name).xpos


class Pen(AdroitHand):
    """Turns a pen in the hand until it points as the target does; a pen that falls ends the episode.

    The observation (45,): the hand's 24 joints; position, velocity (6) and direction of the pen; direction of
    the target; what the pen lacks of it in position and in direction. Column of D4RL's files:
    `desired_orien`, the target's quaternion.
    """

    def __init__(self, **rendering: Any):
        super().__init__("pen", 45, **rendering)

    def observation(self) -> np.ndarray:
        """Return what the policy sees now, (45,)."""
        pen, pointing, wanted = self._body("Object"), self._direction("object"), self._direction("target")
        hand, velocity = self.data.qpos[:-6], self.data.qvel[-6:]
        off = pen - self._site("eps_ball")
        return np.concatenate([hand, pen, velocity, pointing, wanted, off, pointing - wanted])

    def outcome(self) -> tuple[Any, Any]:
        """Pay the cosine of the angle to the target less the distance, and bonuses where both are small."""
        distance = np.linalg.norm(self._body("Object") - self._site("eps_ball"))
        similarity = self._direction("object") @ self._direction("target")
        near = distance < 0.075
        reward = similarity - distance + 10 * (near and similarity > 0.9) + 50 * (near and similarity > 0.95)
        return reward - 5 * self.failed(), near and similarity > 0.95

    def failed(self) -> bool:
        """Return whether the pen is below the hand."""
        return bool(self._body("Object")[2] < 0.075)

    def draw(self) -> State:
        """Turn the target by up to 1 rad around x and around y."""
        (cos_x, cos_y), (sin_x, sin_y) = (f(self.np_random.uniform(-1, 1, 2) / 2) for f in (np.cos, np.sin))
        return {"desired_orien": np.array([cos_x * cos_y, sin_x * cos_y, cos_x * sin_y, sin_x * sin_y])}

    def arrange(self, state: State) -> None:
        """Turn the target."""
        self.model.body("target").quat[:] = state["desired_orien"]

    def _direction(self, thing: str) -> np.ndarray:
        along = self._site(f"{thing}_top") - self._site(f"{thing}_bottom")
        return along / np.linalg.norm(along)


class Door(AdroitHand):
    """Undoes the latch of a door, and opens it to the stop.

    The observation (39,): 27 joints of arm and hand, all but the first; latch and hinge; the positions of
    palm and handle, and the vector between them; whether the door is open (1) or not (-1). Column of D4RL's
    files: `door_body_pos`, the position of the frame.
    """

    def __init__(self, **rendering: Any):
        super().__init__("door", 39, **rendering)

    def observation(self) -> np.ndarray:
        """Return what the policy sees now, (39,)."""
        qpos, palm, handle = self.data.qpos, self._site("S_grasp"), self._site("S_handle")
        is_open = 1.0 if self._hinge() > 1 else -1.0
        return np.concatenate(
            [qpos[1:-2], [qpos[-1], self._hinge()], palm, handle, palm - handle, [is_open]],
        )

    def outcome(self) -> tuple[Any, Any]:
        """Pay for a palm near the handle, an open door and slow joints, and bonuses at three angles."""
        hinge = self._hinge()
        reach = np.linalg.norm(self._site("S_grasp") - self._site("S_handle"))
        reward = -0.1 * reach - 0.1 * (hinge - 1.57) ** 2 - 1e-5 * np.square(self.data.qvel).sum()
        return reward + 2 * (hinge > 0.2) + 8 * (hinge > 1.0) + 10 * (hinge > 1.35), hinge >= 1.35

    def draw(self) -> State:
        """Place the frame in a box of 10 cm."""
        return {"door_body_pos": self.np_random.uniform([-0.3, 0.25, 0.252], [-0.2, 0.35, 0.35])}

    def arrange(self, state: State) -> None:
        """Place the frame."""
        self.model.body("frame").pos[:] = state["door_body_pos"]

    def _hinge(self) -> float:
        return self.data.joint("door_hinge").qpos[0]


class Hammer(AdroitHand):
    """Takes a hammer, and drives a nail into a board.

    The observation (46,): 27 joints of arm, hand and nail; the hammer's velocity (6), clipped to 1; the
    positions of palm and hammer; the hammer's Euler angles; the position of the nail, and the force on it,
    clipped to 1. Column of D4RL's files: `board_pos`, the position of the board.
    """

    def __init__(self, **rendering: Any):
        super().__init__("hammer", 46, **rendering)

    def observation(self) -> np.ndarray:
        """Return what the policy sees now, (46,)."""
        joints, velocity = self.data.qpos[:-6], np.clip(self.data.qvel[-6:], -1, 1)
        palm, hammer, nail = self._site("S_grasp"), self._body("Object"), self._site("S_target")
        turned = self.data.body("Object").xmat.reshape(3, 3)
        angles = -np.arctan2(
            [turned[1, 2], -turned[0, 2], turned[0, 1]],
            [turned[2, 2], np.hypot(turned[1, 2], turned[2, 2]), turned[0, 0]],
        )
        force = np.clip(self.data.sensor("S_nail").data, -1, 1)
        return np.concatenate([joints, velocity, palm, hammer, angles, nail, force])

    def outcome(self) -> tuple[Any, Any]:
        """Pay for palm at hammer, head at nail, nail in the board and slow joints, and bonuses."""
        hammer, head, nail = self._body("Object"), self._site("tool"), self._site("S_target")
        out = np.linalg.norm(nail - self._site("nail_goal"))
        reward = -0.1 * np.linalg.norm(self._site("S_grasp") - hammer) - np.linalg.norm(head - nail)
        reward -= 10 * out + 0.01 * np.linalg.norm(self.data.qvel)
        reward += 2 * (hammer[2] > 0.04 and head[2] > 0.04) + 25 * (out < 0.02) + 75 * (out < 0.01)
        return reward, out < 0.01

    def draw(self) -> State:
        """Place the board at a height of 10 to 25 cm."""
        return {"board_pos": np.r_[self.model.body("nail_board").pos[:2], self.np_random.uniform(0.1, 0.25)]}

    def arrange(self, state: State) -> None:
        """Place the board."""
        self.model.body("nail_board").pos[:] = state["board_pos"]


class Relocate(AdroitHand):
    """Takes a ball from a table, and holds it at a target.

    The observation (39,): 30 joints of arm and hand, and the vectors from ball to palm, from target to palm
    and from target to ball. Columns of D4RL's files: `obj_pos` and `target_pos`, the positions of ball and
    target.
    """

    def __init__(self, **rendering: Any):
        super().__init__("relocate", 39, **rendering)

    def observation(self) -> np.ndarray:
        """Return what the policy sees now, (39,)."""
        palm, ball, target = self._site("S_grasp"), self._body("Object"), self._site("target")
        return np.concatenate([self.data.qpos[:-6], palm - ball, palm - target, ball - target])

    def outcome(self) -> tuple[Any, Any]:
        """Pay for a palm at the ball, and for palm and ball at the target once it is lifted, and bonuses."""
        palm, ball, target = self._site("S_grasp"), self._body("Object"), self._site("target")
        distance = np.linalg.norm(ball - target)
        reward = -0.1 * np.linalg.norm(palm - ball)
        if ball[2] > 0.04:
            reward += 1 - 0.5 * np.linalg.norm(palm - target) - 0.5 * distance
        return reward + 10 * (distance < 0.1) + 20 * (distance < 0.05), distance < 0.1

    def draw(self) -> State:
        """Place the ball on the table, and the target 15 to 35 cm above it."""
        ball = self.np_random.uniform([-0.15, -0.15], [0.15, 0.3])
        target = self.np_random.uniform([-0.2, -0.2, 0.15], [0.2, 0.2, 0.35])
        return {"obj_pos": np.r_[ball, self.model.body("Object").pos[2]], "target_pos": target}

    def arrange(self, state: State) -> None:
        """Place the ball's body, less what its joints slide by, and the target."""
        self.model.body("Object").pos[:] = state["obj_pos"] - np.asarray(state["qpos"])[-6:-3]
        self.model.site("target").pos[:] = state["target_pos"]

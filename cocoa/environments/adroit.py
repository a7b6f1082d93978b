"""D4RL's tasks of the Adroit hand: gymnasium-robotics' simulations with D4RL's rewards and ends of episodes.

The models, observations, actions and starts of gymnasium-robotics 1.4 are those of D4RL. Its rewards of the
door, the hammer and the ball are not (versions 1.2.1 to 1.4.2 pay for the distance between hand and object),
and so none of its rewards is used here. Source: D4RL 1.1, `hand_manipulation_suite`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium_robotics.envs.adroit_hand.adroit_door import AdroitHandDoorEnv
from gymnasium_robotics.envs.adroit_hand.adroit_hammer import AdroitHandHammerEnv
from gymnasium_robotics.envs.adroit_hand.adroit_pen import AdroitHandPenEnv
from gymnasium_robotics.envs.adroit_hand.adroit_relocate import AdroitHandRelocateEnv


class AdroitHand(MujocoEnv):
    """A hand with 24 to 30 joints that are told positions; a step takes 10 ms.

    `info["success"]` is D4RL's `goal_achieved`: whether the goal holds now.
    """

    act_mean: np.ndarray
    act_rng: np.ndarray
    _get_obs: Callable[[], np.ndarray]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move to positions (A,), of which -1 and 1 are the ends of each joint's range."""
        self.do_simulation(self.act_mean + np.clip(action, -1, 1) * self.act_rng, self.frame_skip)
        if self.render_mode == "human":
            self.render()
        reward, success = self.outcome()
        return self._get_obs(), float(reward), self.failed(), False, {"success": bool(success)}

    def outcome(self) -> tuple[Any, Any]:
        """Return the reward of the state, and whether the goal holds."""
        raise NotImplementedError

    def failed(self) -> bool:
        """Return whether the episode ends here."""
        return False

    def _site(self, name: str) -> np.ndarray:
        return self.data.site(name).xpos

    def _body(self, name: str) -> np.ndarray:
        return self.data.body(name).xpos


class Pen(AdroitHand, AdroitHandPenEnv):
    """Turns a pen in the hand until it points as the target does; a pen that falls ends the episode.

    The observation (45,): the hand's 24 joints, and position, velocity (6) and direction of the pen, the
    target's direction, and the distances to it in position and in direction.
    """

    def outcome(self) -> tuple[Any, Any]:
        """Pay the cosine of the angle to the target less the distance, and bonuses where both are small."""
        distance, similarity = self._errors()
        reward = similarity - distance
        near = distance < 0.075
        reward += 10 * (near and similarity > 0.9) + 50 * (near and similarity > 0.95) - 5 * self.failed()
        return reward, near and similarity > 0.95

    def failed(self) -> bool:
        """Return whether the pen is below the hand."""
        return bool(self._body("Object")[2] < 0.075)

    def _errors(self) -> tuple[float, float]:
        pen = (self._site("object_top") - self._site("object_bottom")) / self.pen_length
        target = (self._site("target_top") - self._site("target_bottom")) / self.tar_length
        return float(np.linalg.norm(self._body("Object") - self._site("eps_ball"))), float(pen @ target)


class Door(AdroitHand, AdroitHandDoorEnv):
    """Undoes the latch of a door, and opens it to the stop.

    The observation (39,): 27 of the arm's and hand's joints without the first, the latch, the hinge, the
    positions of palm and handle and their difference, and whether the door is open (1) or not (-1).
    """

    def outcome(self) -> tuple[Any, Any]:
        """Pay for a palm near the handle, an open door and slow joints, and bonuses at three angles."""
        hinge = self.data.joint("door_hinge").qpos[0]
        reach = np.linalg.norm(self._site("S_grasp") - self._site("S_handle"))
        reward = -0.1 * reach - 0.1 * (hinge - 1.57) ** 2 - 1e-5 * np.square(self.data.qvel).sum()
        reward += 2 * (hinge > 0.2) + 8 * (hinge > 1.0) + 10 * (hinge > 1.35)
        return reward, hinge >= 1.35


class Hammer(AdroitHand, AdroitHandHammerEnv):
    """Takes a hammer, and drives a nail into a board.

    The observation (46,): 26 of the arm's and hand's joints and the nail's, the hammer's velocity (6, within
    1), the positions of palm and hammer, the hammer's Euler angles, the nail's position, and the force on it.
    """

    def outcome(self) -> tuple[Any, Any]:
        """Pay for palm at hammer, head at nail, nail in the board and slow joints, and bonuses."""
        hammer, head, nail = self._body("Object"), self._site("tool"), self._site("S_target")
        out = np.linalg.norm(nail - self._site("nail_goal"))
        reward = -0.1 * np.linalg.norm(self._site("S_grasp") - hammer)
        reward -= np.linalg.norm(head - nail) + 10 * out
        reward -= 0.01 * np.linalg.norm(self.data.qvel)
        reward += 2 * (hammer[2] > 0.04 and head[2] > 0.04) + 25 * (out < 0.02) + 75 * (out < 0.01)
        return reward, out < 0.01


class Relocate(AdroitHand, AdroitHandRelocateEnv):
    """Takes a ball from a table, and holds it at a target.

    The observation (39,): 30 joints of arm and hand, and the vectors between palm, ball and target.
    """

    def outcome(self) -> tuple[Any, Any]:
        """Pay for a palm at the ball, and for palm and ball at the target once it is lifted, and bonuses."""
        palm, ball, target = self._site("S_grasp"), self._body("Object"), self._site("target")
        distance = np.linalg.norm(ball - target)
        reward = -0.1 * np.linalg.norm(palm - ball)
        if ball[2] > 0.04:
            reward += 1 - 0.5 * np.linalg.norm(palm - target) - 0.5 * distance
        return reward + 10 * (distance < 0.1) + 20 * (distance < 0.05), distance < 0.1

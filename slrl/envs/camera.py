"""Frames of a world, also on a machine without a screen."""

import importlib
import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np

from slrl import envs
from slrl.envs import OneLife
from slrl.envs.shift import PLANE, index, simulator
from slrl.errors import BadInput, unknown
from slrl.scenarios import Scenario
from slrl.types import Image

SIZE_PX = 300  # width and height of what a scenario's camera sees
NEAR_M = 0.1  # from the camera; what is nearer is not drawn
FURTHER = 10  # times as far is the ground drawn, which in Gymnasium's worlds ends after 40 m


def headless() -> None:
    """Let MuJoCo draw without a screen.

    MuJoCo chooses its way to draw when it is imported; if it has been already, it is made to choose again.

    Raises:
        BadInput: where MuJoCo is installed and finds no way to draw.
    """
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    chosen = sys.modules.get("mujoco.gl_context")
    if not screen and not os.environ.get("MUJOCO_GL"):
        os.environ["MUJOCO_GL"] = "egl"
    try:
        if chosen is None:
            importlib.import_module("mujoco")
        elif not screen:
            importlib.reload(chosen)
    except ModuleNotFoundError:
        return  # worlds that draw themselves do not need it
    except (AttributeError, ImportError, OSError, RuntimeError) as error:  # importing looks for a way to draw
        raise _cannot_draw(error) from error


def check(scenario: Scenario) -> None:
    """Draw the target world once, before a life depends on it.

    Raises:
        BadInput: where it cannot be drawn.
    """
    env = envs.make(scenario, render_mode="rgb_array")
    env.reset(seed=0)
    view = View(env, scenario.camera)
    view()
    view.close()
    env.close()


class View:
    """Pictures of a world: as it draws itself, or from a camera of the scenario in a MuJoCo world.

    ``camera`` is a table with ``lookat`` (a point, m) or ``follow`` (the name of a body), ``distance`` (m),
    ``azimuth`` and ``elevation`` (degrees).
    """

    def __init__(self, env: OneLife, camera: dict[str, Any] | None = None) -> None:
        self._env, self._camera = env, None if camera is None else _Camera(env, camera)

    def __call__(self) -> Image:
        """The world as it is now, (height, width, 3).

        Raises:
            BadInput: where it cannot be drawn.
        """
        try:
            frame: Any = self._env.render() if self._camera is None else self._camera.shoot()
        except _drawing_errors() as error:
            raise _cannot_draw(error) from error
        if frame is None:
            raise BadInput(
                f"{type(self._env.unwrapped).__name__} draws nothing: its render() returns None in the mode "
                "rgb_array."
            )
        return np.asarray(frame, np.uint8)

    def close(self) -> None:
        """Free the drawing context; left to the interpreter's end it complains."""
        if self._camera is not None:
            self._camera.close()


class _Camera:
    """A camera in a MuJoCo world."""

    def __init__(self, env: OneLife, settings: dict[str, Any]) -> None:
        import mujoco

        self._simulator = simulator(env, "camera")
        self._camera, self._body = mujoco.MjvCamera(), None
        for key, value in settings.items():
            if key == "follow":
                self._body = index(self._simulator.model, "body", value, "camera")
            elif key == "lookat":
                self._camera.lookat[:] = value
            elif key in ("distance", "azimuth", "elevation"):
                setattr(self._camera, key, value)
            else:
                raise unknown(
                    "setting of the scenario's camera:",
                    key,
                    ("azimuth", "distance", "elevation", "follow", "lookat"),
                )
        model = self._simulator.model
        model.vis.map.znear = NEAR_M / model.stat.extent  # else a long world cuts off what is near
        for plane in np.flatnonzero(model.geom_type == PLANE):  # contacts know no end of it
            model.geom_size[plane, :2] *= FURTHER
            model.mat_texrepeat[model.geom_matid[plane]] *= FURTHER
        self._renderer: Any = None

    def shoot(self) -> Any:
        import mujoco

        if self._renderer is None:
            self._renderer = mujoco.Renderer(self._simulator.model, SIZE_PX, SIZE_PX)
        if self._body is not None:  # MuJoCo's own tracking camera lags behind
            self._camera.lookat[:] = self._simulator.data.xpos[self._body]
        self._renderer.update_scene(self._simulator.data, self._camera)
        return self._renderer.render()

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()


def _drawing_errors() -> tuple[type[Exception], ...]:
    """What PyOpenGL, Gymnasium and MuJoCo raise where there is no way to draw."""
    known: tuple[type[Exception], ...] = (AttributeError, ImportError, OSError, RuntimeError, gym.error.Error)
    try:
        import mujoco
    except ModuleNotFoundError:
        return known
    return (*known, mujoco.FatalError)


def _cannot_draw(error: Exception) -> BadInput:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return BadInput(
        f"this machine cannot draw the world with MUJOCO_GL={os.environ.get('MUJOCO_GL', 'unset')}: "
        f"{reason}; try egl or osmesa."
    )

"""Pictures: they are written, move and show both worlds; and the error where nothing can be drawn."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slrl.envs import camera
from slrl.errors import BadInput
from slrl.lives import render

Command = Callable[..., tuple[int, str, str]]
camera.headless()


def test_an_animation_moves_and_shows_both_worlds(tiny_adapter: str, tmp_path: Path) -> None:
    out = render.animate("windy_pointmass", tmp_path / "windy.webp", adapter=tiny_adapter, steps=60, frames=6)
    with Image.open(out) as picture:
        assert picture.n_frames > 6
        picture.seek(0)
        first = np.asarray(picture.convert("RGB"), int)
        picture.seek(picture.n_frames - 1)
        last = np.asarray(picture.convert("RGB"), int)
    half = first.shape[1] // 2
    moved = np.abs(first - last).max(2) > 60
    assert moved[render.BANNER_PX :, :half].any()
    assert moved[render.BANNER_PX :, half:].any()
    assert np.abs(first[:, :half] - first[:, -half:]).max() > 60  # the titles differ
    assert list(tmp_path.glob(".*")) == []


def test_a_still_is_three_moments(tiny_adapter: str, tmp_path: Path) -> None:
    out = render.animate(
        "tabletop_displaced", tmp_path / "new" / "still.png", adapter=tiny_adapter, steps=30, frames=4
    )
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.height == 3 * (camera.SIZE_PX + render.BANNER_PX + render.MARGIN_PX)


def test_mujoco_is_drawn_without_a_screen(tiny_adapter: str, tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    out = render.animate("cheetah_hurdles", tmp_path / "cheetah.png", adapter=tiny_adapter, steps=4, frames=2)
    with Image.open(out) as picture:
        assert np.asarray(picture.convert("RGB"), int).std() > 20


DRAW = """
import mujoco
from slrl.envs import camera
camera.headless()
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data)
print(renderer.render().std() > 20)
renderer.close()
"""


def test_mujoco_is_drawn_without_a_screen_also_if_it_was_imported_before() -> None:
    pytest.importorskip("mujoco")
    without = {
        key: os.environ[key] for key in os.environ.keys() - {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"}
    }
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env=without, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_mp4(command: Command, tiny_adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg")
    code, _, err = command(
        "render",
        "calm_pointmass",
        "--adapter",
        tiny_adapter,
        "-o",
        tmp_path / "calm.mp4",
        "--steps",
        20,
        "--frames",
        4,
        "--quiet",
    )
    assert code == 0, err
    assert (tmp_path / "calm.mp4").read_bytes()[4:8] == b"ftyp"
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(BadInput, match=r"slrl\[video\]"):
        render.animate("calm_pointmass", tmp_path / "other.mp4", adapter=tiny_adapter, steps=5, frames=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("windy_pointmass", "-o", "picture.gif"), "must end in .webp"),
        (("windy_pointmas",), "did you mean 'windy_pointmass'"),
        (("windy_pointmass", "--adapter", "frosen"), "did you mean 'frozen'"),
        (("windy_pointmass", "--frames", "1"), "'frames' 2 or more"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], says: str, command: Command) -> None:
    code, out, err = command("render", *arguments)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("way", ["nonsense", "glfw"])
def test_where_nothing_can_be_drawn_it_is_said_in_a_sentence(
    way: str, tiny_adapter: str, tmp_path: Path
) -> None:
    pytest.importorskip("mujoco")
    environment = {
        key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "slrl",
            "render",
            "cheetah_hurdles",
            "--adapter",
            tiny_adapter,
            "-o",
            str(tmp_path / "no.png"),
            "--steps",
            "2",
            "--frames",
            "2",
            "--quiet",
        ],
        env={**environment, "MUJOCO_GL": way},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert f"slrl: this machine cannot draw the world with MUJOCO_GL={way}" in done.stderr
    assert not (tmp_path / "no.png").exists()

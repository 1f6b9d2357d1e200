"""Pictures of a scenario: source and target side by side under one policy, animated or still."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slrl import envs
from slrl.envs import OneLife, camera
from slrl.envs.camera import SIZE_PX, View
from slrl.envs.rollout import rollout
from slrl.errors import BadInput
from slrl.files import atomic_write, made_folder
from slrl.learning import seeds
from slrl.lives.run import load_adapter
from slrl.recording.recipes import load_prior
from slrl.scenarios import Scenario, load
from slrl.types import Adapter, Image

MARGIN_PX, BANNER_PX = 8, 44
HOLD_FRAMES = 8  # of the last frame, to show the ending


def animate(
    scenario: str | Scenario,
    out: Path,
    *,
    adapter: str = "frozen",
    seed: int = 0,
    steps: int = 400,
    frames: int = 60,
    quiet: bool = True,
) -> Path:
    """Write source and target under the adapter's policy to ``out``.

    A .webp or .mp4 (which needs an extra) is animated, a .png shows the start, the life after a third of the
    steps, and the end. Both worlds run for at most ``steps`` steps with the same seed; ``frames`` of them are
    shown, evenly spaced.

    Raises:
        BadInput: for another suffix of ``out``, or for a world that cannot be drawn here.
    """
    if out.suffix not in _SAVE:
        raise BadInput(f"{out} must end in .webp (an animation), .png (a still) or .mp4.")
    if steps < 1 or frames < 2:
        raise BadInput(f"'steps' must be 1 or more and 'frames' 2 or more, not {steps} and {frames}.")
    camera.headless()
    found = load(scenario) if isinstance(scenario, str) else scenario
    if not out.absolute().parent.is_dir():
        made_folder(out.absolute().parent)
    prior = load_prior(found.prior, quiet=quiet)
    every = max(1, steps // frames)
    shots = []
    for build in (envs.make_source, envs.make):
        actor = load_adapter(adapter, prior, found, seed=seed, life_steps=steps, quiet=quiet)
        env = _draws(build, found, steps)
        shots.append(list(_shoot(env, actor, seed, every, View(env, found.camera))))
    titles = ("source: what the prior knows", f"target: {found.novelty or 'this life'}")
    pages = [_page(found, adapter, titles, pair) for pair in _paired(*shots)]
    _SAVE[out.suffix](out, pages)
    return out


def _draws(build: Callable[..., OneLife], scenario: Scenario, steps: int) -> OneLife:
    try:
        env = build(scenario, life_steps=steps, render_mode="rgb_array")
    except BadInput as error:
        raise BadInput(f"{scenario.name} cannot be drawn: {error}") from None
    return env


def _shoot(env: OneLife, adapter: Adapter, seed: int, every: int, view: View) -> Iterator[tuple[Image, str]]:
    """Frames of a life, each with a caption."""
    life = rollout(env, adapter.act, seed=seeds.of_world(seed))
    yield view(), "step 0"
    for step in life:
        adapter.observe(step.transition)
        adapter.learn()
        if step.number % every == 0 or step.over:
            ending = " · success" if step.info["success"] else ""
            yield view(), f"step {step.number:,}{ending}"
    view.close()
    env.close()


def _paired(
    left: list[tuple[Image, str]], right: list[tuple[Image, str]]
) -> Iterator[tuple[tuple[Image, str], tuple[Image, str]]]:
    """Frames of both lives at the same steps; the shorter life repeats its last frame."""
    for moment in range(max(len(left), len(right)) + HOLD_FRAMES):
        yield left[min(moment, len(left) - 1)], right[min(moment, len(right) - 1)]


def _page(
    scenario: Scenario,
    adapter: str,
    titles: tuple[str, str],
    pair: tuple[tuple[Image, str], tuple[Image, str]],
) -> Any:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    panels = []
    for frame, _ in pair:
        picture = Pillow.fromarray(frame)
        panels.append(picture.resize((max(1, round(picture.width * SIZE_PX / picture.height)), SIZE_PX)))
    width = max(260, *(panel.width for panel in panels))
    page = Pillow.new("RGB", (2 * width + 3 * MARGIN_PX, SIZE_PX + BANNER_PX + MARGIN_PX), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, (panel, title, (_, text)) in enumerate(zip(panels, titles, pair, strict=True)):
        left = MARGIN_PX + column * (width + MARGIN_PX)
        page.paste(panel, (left + (width - panel.width) // 2, BANNER_PX))
        draw.text((left, 4), title, fill=(31, 90, 180) if column == 0 else (179, 38, 30), font=font)
        draw.text((left, 23), f"{adapter} · {text}", fill=(90, 90, 90), font=font)
    return page


def _save_still(out: Path, pages: list[Any]) -> None:
    """Three pages below each other: the first, the one after a third, and the last."""
    from PIL import Image as Pillow

    pages = [pages[0], pages[(len(pages) - 1) // 3], pages[-1]]
    whole = Pillow.new("RGB", (pages[0].width, sum(page.height for page in pages)), "white")
    for row, page in enumerate(pages):
        whole.paste(page, (0, row * page.height))
    with atomic_write(out) as temporary:
        whole.quantize(128).save(temporary, format="PNG", optimize=True)


def _save_webp(out: Path, pages: list[Any]) -> None:
    with atomic_write(out) as temporary:
        pages[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=pages[1:],
            duration=80,
            loop=0,
            quality=70,
            method=4,
        )


def _save_mp4(out: Path, pages: list[Any]) -> None:
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError:
        raise BadInput(
            "an .mp4 needs the package imageio-ffmpeg; install it with: pip install 'slrl[video]'."
        ) from None
    width, height = (pages[0].width // 2) * 2, (pages[0].height // 2) * 2
    with atomic_write(out) as temporary:
        writer = imageio_ffmpeg.write_frames(str(temporary), (width, height), fps=12, macro_block_size=2)
        writer.send(None)
        for page in pages:
            writer.send(np.asarray(page.crop((0, 0, width, height)), np.uint8).tobytes())
        writer.close()


_SAVE = {".webp": _save_webp, ".png": _save_still, ".mp4": _save_mp4}

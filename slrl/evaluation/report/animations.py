"""Animations of source and target as data URIs for the page; each is drawn once and kept in the cache."""

import base64
import hashlib
import io
import json
from dataclasses import asdict

from slrl.files import cache_folder
from slrl.lives import render
from slrl.scenarios import Scenario

STEPS, FRAMES = 400, 40
STILL_QUALITY = 60


def animation(scenario: Scenario, *, quiet: bool = True) -> tuple[str, str]:
    """Two WebP pictures as data URIs: one that moves, and one that does not.

    Raises:
        BadInput: where the world cannot be drawn.
    """
    from PIL import Image

    about = {**asdict(scenario), "steps": STEPS, "frames": FRAMES}
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_folder("animations") / f"{name}.webp"
    if not path.is_file():
        render.animate(scenario, path, steps=STEPS, frames=FRAMES, quiet=quiet)
    still = io.BytesIO()
    with Image.open(path) as picture:
        picture.seek(getattr(picture, "n_frames", 1) // 3)
        picture.save(still, format="WEBP", quality=STILL_QUALITY)
    return _uri(path.read_bytes()), _uri(still.getvalue())


def _uri(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

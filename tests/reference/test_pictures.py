"""The pictures of the documentation are small, light, in words too, and drawn by `tests.reference.pictures`."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from forecastlab.figures.drawing import WIDTH
from tests.reference.pictures import DPI, FOLDER

SHOWN = [
    (page.name, words, name)
    for page in FOLDER.parent.glob("*.md")
    for words, name in re.findall(r"!\[(.*?)\]\(pictures/(\w+)\.png\)", page.read_text(), re.DOTALL)
]


def test_every_picture_is_shown_once_and_told_in_words():
    assert sorted(name for _, _, name in SHOWN) == sorted(path.stem for path in FOLDER.iterdir())
    assert all(len(words) > 60 for _, words, _ in SHOWN)
    assert {page for page, _, _ in SHOWN} == {"index.md", "forecasting.md", "intervals.md", "explaining.md"}


@pytest.mark.parametrize("name", [name for _, _, name in SHOWN])
def test_a_picture_is_small_and_light(name):
    path = FOLDER / f"{name}.png"
    assert path.stat().st_size < 80_000
    with Image.open(path) as image:
        assert image.width == round(WIDTH * DPI)
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.slow
@pytest.mark.usefixtures("real_ozone")
def test_the_pictures_can_be_drawn_again(tmp_path):
    code = "import sys, pathlib; from tests.reference.pictures import draw; draw(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, tmp_path / "new"], check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in FOLDER.iterdir())
    for path in (tmp_path / "new").iterdir():
        with Image.open(path) as new, Image.open(FOLDER / path.name) as kept:
            assert new.size == kept.size

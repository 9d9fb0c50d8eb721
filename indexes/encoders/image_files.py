"""image_files.py: what an item's `image` says -> a picture in memory, or why there is none.

Nothing is downloaded, nothing outside the folder is opened, and no file costs more memory than the
settings allow, whatever it says of itself.
"""

import io
import os
import re
import stat
import warnings
from pathlib import Path, PurePosixPath
from typing import Any, Final

from indexes.encoders.settings import ImageSettings

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP")  # of all that Pillow reads
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_LONGEST: Final = 1000  # characters of a path
_EDGE: Final = 512  # longest edge kept: above what models of the CLIP family read
_MOST_RATIO: Final = 20  # of the edges; a model would stretch a line to gigabytes


class BadImage(ValueError):
    """Why an item has no picture. reason: one word, as the docs list them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ImageFiles:
    """The pictures of one folder."""

    def __init__(self, folder: Path, settings: ImageSettings) -> None:
        self.folder = Path(os.path.realpath(folder))
        self._settings = settings

    def read(self, name: str) -> bytes:
        """The bytes of the file that `image` names; BadImage where there is none to be read."""
        try:
            # Without waiting: a pipe would otherwise hold the rebuild up.
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            number = os.open(self._path(name), flags)
        except OSError:
            raise BadImage("missing") from None
        try:
            return self._content(number)
        except OSError:
            raise BadImage("missing") from None
        finally:
            os.close(number)

    def _content(self, number: int) -> bytes:
        """All of an open file, of at most so many bytes."""
        most, about = self._settings.max_bytes, os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise BadImage("no_file")
        if about.st_size > most:
            raise BadImage("too_many_bytes")
        with open(number, "rb", closefd=False) as file:
            content = file.read(most + 1)
        if len(content) > most:  # it grew meanwhile
            raise BadImage("too_many_bytes")
        return content

    def _path(self, name: str) -> Path:
        """The file within the folder; links are followed before it is said what is outside."""
        if _SCHEME.match(name):
            raise BadImage("address")
        if len(name) > _LONGEST or _ODD.search(name):
            raise BadImage("odd_path")
        asked = PurePosixPath(name)
        if asked.is_absolute() or ".." in asked.parts:
            raise BadImage("outside")
        try:
            path = Path(os.path.realpath(self.folder / asked, strict=True))
        except OSError:
            raise BadImage("missing") from None
        if not path.is_relative_to(self.folder):
            raise BadImage("outside")
        return path

    def decoded(self, content: bytes) -> Any:
        """The picture as a PIL image in RGB, on white, at most 512 pixels wide and high.

        The header is read first: what would unpack to too many pixels is never unpacked.
        """
        from PIL import Image, UnidentifiedImageError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large ones; here they are counted
            try:
                with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                    self._check_size(image.size)
                    return _upright(image)
            except BadImage:
                raise
            except UnidentifiedImageError:
                raise BadImage("no_picture") from None
            except Image.DecompressionBombError:
                raise BadImage("too_many_pixels") from None
            except Exception:  # Pillow's decoders raise whatever a damaged file makes them meet
                raise BadImage("damaged") from None

    def _check_size(self, size: tuple[int, int]) -> None:
        width, height = size
        if width * height > self._settings.max_pixels:
            raise BadImage("too_many_pixels")
        if not min(size) or max(size) > _MOST_RATIO * min(size):
            raise BadImage("too_narrow")


def _upright(image: Any) -> Any:
    """As a person sees it: turned as the camera says, what is transparent on white."""
    from PIL import Image, ImageOps

    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    image.thumbnail((_EDGE, _EDGE))  # a JPEG is unpacked smaller in the first place
    turned = ImageOps.exif_transpose(image)
    if turned.mode not in ("RGBA", "LA", "PA") and "transparency" not in turned.info:
        return turned.convert("RGB")
    see_through = turned.convert("RGBA")
    white = Image.new("RGBA", see_through.size, "white")
    return Image.alpha_composite(white, see_through).convert("RGB")

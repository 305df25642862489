"""Videos as photographs: every frame, as OpenCV reads them, is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from stages.core.errors import UserError
from stages.core.files import suffix_of
from stages.core.image_files import UInt8
from stages.core.progress import track
from stages.predict.photographs import Photographs, ReadPhotograph

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


class Frames(Photographs):
    """The frames of a video; frame 12 of CLIP.mp4 is the photograph `CLIP.mp4/000012`, counted from 0."""

    noun = "frame"

    def __init__(self, video: Path) -> None:
        frames = [f"{video.name}/{number:06}" for number in range(count_frames(video))]
        super().__init__(video.parent, {frame: f"{frame}.png" for frame in frames}, [])
        self.video = video

    def read(self, label: str) -> Iterator[ReadPhotograph]:
        """See `Photographs.read`."""
        frames = track(zip(self.targets.items(), read_frames(self.video), strict=True), len(self.targets), label=label)
        for (frame, target), image in frames:
            yield ReadPhotograph(frame, target, image)


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its suffix."""
    return suffix_of(path.name) in VIDEO_SUFFIXES and path.is_file()


def count_frames(video: Path) -> int:
    """Frames that can be read, counted one by one: what the file says of itself may be wrong.

    Raises:
        UserError: OpenCV reads none.
    """
    with _opened(video) as capture:
        count = 0
        while capture.grab():
            count += 1
    if not count:
        raise UserError(f"{video}: OpenCV reads no frame of this video; convert it, say to MP4 with H.264")
    return count


def read_frames(video: Path) -> Iterator[UInt8]:
    """Frames (H, W, 3) in RGB, turned as the file says."""
    with _opened(video) as capture:
        while (found := capture.read())[0]:
            yield cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB).astype("uint8", copy=False)


@contextmanager
def _opened(video: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(video))
    try:
        yield capture
    finally:
        capture.release()

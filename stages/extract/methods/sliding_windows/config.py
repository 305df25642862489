"""Parameters of the class tokens of sliding windows."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.extract.config import ExtractConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class SlidingWindowsConfig(ExtractConfig):
    """A vision transformer's class token of every window in which an object stands out, or nothing does.

    Region ids number the windows of the grid, from 1, scale by scale and row by row.
    """

    method: Literal["sliding_windows"] = "sliding_windows"
    size: tuple[int, int] = (640, 640)
    """Height and width in pixels that photographs are squashed to, rounded to whole patches. TransFGU's code: twice the
    size at which pixels are labelled, 640 x 640; Cityscapes 640 x 1280."""
    window: int = Field(320, ge=8)
    """Side in pixels that each window is resized to, rounded to whole patches. TransFGU, section 3.2: half of the
    photograph's shorter side."""
    scales: tuple[float, ...] = Field((0.5, 0.4, 0.3, 0.2), min_length=1)
    """Sides of the square windows as shares of the shorter side. TransFGU, section 4.2: 0.5, 0.4, 0.3, 0.2; its code on
    Pascal VOC: 0.6, 0.5, 0.4, 0.3. With 1.0 the photograph as a whole is described too, where it shows one object."""
    step: float = Field(0.5, gt=0, le=1)
    """From one window to the next, as a share of the window's side. TransFGU, section 4.2: 0.5."""
    kept: Literal["grouped", "objects", "all"] = "grouped"
    """`grouped`: windows of objects and of surroundings, each marked as what it is. `objects`: those of objects only
    (TransFGU's code on Pascal VOC and LIP). `all`: every window, unmarked (Cityscapes, which has no foreground)."""
    object_share: float = Field(0.5, ge=0, lt=1)
    """Share of a window above which it must be foreground to show an object. TransFGU, section 4.2: 50 %."""
    surroundings_share: float = Field(0.8, ge=0, lt=1)
    """Share of a window above which it must not be foreground to show surroundings. TransFGU, section 4.2: 80 %."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "SlidingWindowsConfig":
        if min(self.size) < 8:
            raise ValueError("size: must be 8 pixels or more")
        if not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError("scales: must be above 0 and at most 1")
        if self.object_share + self.surroundings_share < 1:
            raise ValueError("object_share and surroundings_share: must make 1 together, or a window could be both")
        return self

    def write_vectors(self, index: "ImageIndex") -> None:
        """Write one vector per window that is kept, resumable; see `ExtractConfig.write_vectors`."""
        from stages.extract.methods.sliding_windows.method import write

        write(self, index)

"""Writes predictions in the forms that other tools read: `luss export masks`; docs/exports.md tells each."""

from importlib import import_module

from stages.core.errors import UserError, did_you_mean
from stages.predict.exports.writer import Writer

FORMATS = {
    "png": "palette:PaletteWriter",
    "voc": "voc:VOCWriter",
    "coco": "coco:COCOWriter",
    "label-studio": "label_studio:LabelStudioWriter",
    "cvat": "voc:CVATWriter",
    "hf-dataset": "hf_dataset:DatasetWriter",
    "fiftyone": "fiftyone:FiftyOneWriter",
}
"""Module and class in this folder by name of the format; a module is loaded by who asks for it."""


def find_writer(name: str) -> type[Writer]:
    """The class that writes a format.

    Raises:
        UserError: There is no such format.
    """
    if name not in FORMATS:
        raise UserError(
            f"--format {name}: no such format{did_you_mean(name, FORMATS)}; there are: {', '.join(FORMATS)}"
        )
    module, _, writer = FORMATS[name].partition(":")
    found: type[Writer] = getattr(import_module(f"{__name__}.{module}"), writer)
    return found

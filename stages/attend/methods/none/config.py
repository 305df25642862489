"""No attention: the pretrained model is passed on unchanged."""

from typing import Literal

from stages.attend.config import AttendConfig


class NoAttentionConfig(AttendConfig):
    """Pass the model on."""

    method: Literal["none"] = "none"

    def attend(self) -> None:
        """Write `artifacts/attend` as a copy of `artifacts/pretrain`."""
        from stages.core.artifacts.models import copy_model

        copy_model("pretrain", "attend")

"""No attention: the pretrained model is passed on unchanged."""

from typing import Literal

from stages.core.artifacts.models import pass_model_on
from stages.core.params import Params


class NoAttentionConfig(Params):
    """Pass the model on."""

    method: Literal["none"] = "none"

    def run(self) -> None:
        """Write `artifacts/attend` as a copy of `artifacts/pretrain`."""
        pass_model_on("pretrain", "attend")

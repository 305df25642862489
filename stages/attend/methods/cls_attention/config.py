"""Parameters of the class token's attention."""

from typing import Literal

from stages.attend.config import AttendConfig


class ClassTokenAttentionConfig(AttendConfig):
    """Pixels count as much as the class token attends to them, as the mean of its heads; nothing is trained."""

    method: Literal["cls_attention"] = "cls_attention"
    block: int = -1
    """Of the backbone, counted from 0, or from -1 backwards. DINO, section 4.2.2: the last."""

    def attend(self) -> None:
        """Write the pretrained model with this attention; see `AttendConfig.attend`."""
        from stages.attend.methods.cls_attention.method import attend

        attend(self)

"""Pretrain: a backbone that represents the photographs, learnt without labels (`classifier` alone learns from them).

Reads `artifacts/index/images` (the train split), and the label maps of `superpixels` and `saliency` where the method
wants them. Writes the model `artifacts/pretrain`. Everything after it stands on this representation.
"""

from typing import Annotated

from pydantic import Field

from stages.pretrain.methods.byol.config import BYOLConfig
from stages.pretrain.methods.classifier.config import ClassifierPretrainConfig
from stages.pretrain.methods.deepcluster.config import DeepClusterConfig
from stages.pretrain.methods.dino.config import DINOConfig
from stages.pretrain.methods.iic.config import IICConfig
from stages.pretrain.methods.luss.config import LUSSConfig
from stages.pretrain.methods.maskcontrast.config import MaskContrastConfig
from stages.pretrain.methods.moco_v2.config import MoCoConfig
from stages.pretrain.methods.none.config import NoPretrainingConfig
from stages.pretrain.methods.npid.config import NPIDConfig
from stages.pretrain.methods.odc.config import ODCConfig
from stages.pretrain.methods.pass_.config import PASSConfig
from stages.pretrain.methods.pcl.config import PCLConfig
from stages.pretrain.methods.picie.config import PiCIEConfig
from stages.pretrain.methods.pixpro.config import PixProConfig
from stages.pretrain.methods.rotation.config import RotationConfig
from stages.pretrain.methods.simclr.config import SimCLRConfig
from stages.pretrain.methods.swav.config import SwAVConfig
from stages.pretrain.methods.vice.config import VICEConfig

Config = Annotated[
    NoPretrainingConfig
    | SwAVConfig
    | LUSSConfig
    | PASSConfig
    | DINOConfig
    | MaskContrastConfig
    | VICEConfig
    | RotationConfig
    | SimCLRConfig
    | MoCoConfig
    | BYOLConfig
    | NPIDConfig
    | DeepClusterConfig
    | ODCConfig
    | PCLConfig
    | ClassifierPretrainConfig
    | PiCIEConfig
    | IICConfig
    | PixProConfig,
    Field(discriminator="method"),
]  # fmt: skip

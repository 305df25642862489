"""The abstract config of the stage `attend`."""

from abc import ABC, abstractmethod

from stages.core.config.params import Params


class AttendConfig(Params, ABC):
    """A method that learns which pixels count; its fields are the section `attend` of params.yaml."""

    method: str
    """Names the way."""

    @abstractmethod
    def attend(self) -> None:
        """Write the model `artifacts/attend`: that of `artifacts/pretrain`, with an attention where one is learnt.

        Raises:
            UserError: The pretrained model lacks what the way wants, or training goes wrong.
        """

"""A small network that learns from classical maps alone, without any label, averaged with its teachers."""

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.artifacts.image_index import ImageIndex
from stages.core.images.working_size import shrink
from stages.core.mapping import map_photos
from stages.core.resume import resumable_work
from stages.saliency.lessons import collect_lessons, follow_edges, teach
from stages.saliency.maps import Image, Map, SaliencyConfig, SaliencyMethod


class Distilled(SaliencyMethod, SaliencyConfig):
    """A student of region contrast and robust background detection, from random weights, averaged with its teachers.

    Max F on ECSSD, trained on its 1,000 photographs without their masks: 0.763; region contrast, the best single
    teacher, has 0.738. The gain is the teachers' mean, not the network: that mean has 0.759, made to follow the
    photographs' edges 0.762, the student alone 0.745. Resolution is not what the student lacks: the mean squeezed
    through its 64 pixels keeps 0.760. It has not learnt all that its teachers know: its maps correlate with theirs
    by 0.91.

    Source: ours, after Nguyen et al., "DeepUSPS: Deep Robust Unsupervised Saliency Prediction With Self-Supervision",
    NeurIPS 2019, whose networks start from weights trained with labels.
    """

    method: Literal["distilled"] = "distilled"

    photos: int = Field(4000, ge=1)
    """Most photographs of the train split to learn from, drawn by the seed."""

    side: int = Field(128, ge=32, le=512, multiple_of=16)
    """Height and width at which the network sees a photograph. Unit: pixels."""

    rounds: int = Field(3, ge=1)
    """Of training; each after the first learns from targets mixed with the network's own maps. Source: DeepUSPS: 2."""

    steps: int = Field(400, ge=1)
    """Batches a round."""

    batch_size: int = Field(32, ge=2)
    """Photographs a batch."""

    learning_rate: float = Field(0.003, gt=0)
    """Peak of the first round; half of it in the others."""

    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""

    momentum: float = Field(0.5, ge=0, le=1)
    """Share of the old targets when the network's own maps are mixed in."""

    teacher_share: float = Field(0.5, ge=0, le=1)
    """Of the teachers' own map in a photograph's final map; 0 leaves the network alone. They err differently."""

    seed: int = Field(0, ge=0)
    """Of the draw, the initial weights and the batches."""

    def write_maps(self, index: ImageIndex) -> None:
        """Train the network, then map all photographs in parallel."""
        with resumable_work("saliency_student", self, {"images": index.content_hash}) as work:
            map_photos("saliency", self, index, self.train(index, work).compute)

    def train(self, index: ImageIndex, work: Path) -> "TrainedStudent":
        """Train on the train split of an index, or on all of it if there is none; unfinished work lies in `work`."""
        import torch

        from stages.saliency.distillation import Schedule, train_student

        known = index.of("train") if index.has("train") else index
        order = np.random.default_rng(self.seed).permutation(len(known))[: self.photos]
        ids = known.image_ids
        lessons = collect_lessons(known.among(ids[position] for position in order), self.side, work)
        fields = ("rounds", "steps", "batch_size", "learning_rate", "weight_decay", "momentum", "seed")
        student = train_student(lessons, Schedule(*(getattr(self, field) for field in fields)), work)
        torch.save(student.state_dict(), work / "student.pt")
        return TrainedStudent(self, work / "student.pt")


class TrainedStudent:
    """A trained network as a function over photographs; picklable, each process loads the weights once."""

    def __init__(self, config: Distilled, weights: Path) -> None:
        self.config, self.weights = config, weights.resolve()
        self._network: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_network": None}

    def compute(self, image: Image) -> NDArray[np.uint8]:
        """The stored map (h, w) of a photograph (H, W, 3)."""
        small = shrink(image, self.config.max_side)
        return self.config.finish(small, self.score(small))

    def score(self, image: Image) -> Map:
        """Saliency (H, W) in 0..1 of an RGB image (H, W, 3) of working size."""
        import torch

        from stages.saliency.student import normalize, predict_mirrored

        square = cv2.resize(image, (self.config.side, self.config.side), interpolation=cv2.INTER_AREA)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # in every process, so that their number cannot change a map
        with torch.inference_mode():
            scores = predict_mirrored(self._load(), normalize(torch.from_numpy(square)[None]))[0].numpy()
        torch.set_num_threads(threads)
        height, width = image.shape[:2]
        scores = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
        own, share = follow_edges(np.asarray(scores, np.float32), image), np.float32(self.config.teacher_share)
        return own if share == 0 else (1 - share) * own + share * teach(image)

    def _load(self) -> Any:
        if self._network is None:
            import torch

            from stages.saliency.distillation import load_student

            self._network = load_student(torch.load(self.weights, weights_only=True))
        return self._network

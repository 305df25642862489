"""`python -m stages.attend`."""

from stages.attend import Config
from stages.attend.methods.none import NoAttentionConfig
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import model_hash, read_model, write_model
from stages.core.cli import run_stage
from stages.core.engine.devices import seed_everything
from stages.core.engine.loop import train
from stages.core.nets.attention import attention_card
from stages.core.resume import resumable_work


def main(config: Config) -> None:
    """Write the model that clustering and pseudo-labels read."""
    if isinstance(config, NoAttentionConfig):
        return config.run()
    card, states = read_model("pretrain", ["backbone", "projector", "prototypes"])
    index = read_images().of("train")
    seed_everything(config.training.seed)
    method = config.build(card, states)
    inputs = {"images": index.content_hash, "pretrain": model_hash("pretrain")}
    with resumable_work("attend", config, inputs) as work:
        history = train(method, config.training, index, "attend", work)
        parts = {**card["parts"], "attention": attention_card(method.attention.kind, config.enlarge)}
        described = {"method": config.method, "parts": parts, "params": config.model_dump(mode="json")}
        write_model("attend", method.export(), card | described, history)
    return None


if __name__ == "__main__":
    run_stage("attend", Config, main)

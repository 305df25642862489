"""Without attention the pretrained model is passed on."""

from pathlib import Path

import pytest

from stages.attend.__main__ import main
from stages.attend.methods.none.config import NoAttentionConfig
from stages.core.errors import UserError
from tests.fabricate import fabricate_backbone


def test_the_model_is_passed_on_unchanged() -> None:
    fabricate_backbone("pretrain")
    main(NoAttentionConfig())
    for name in ("model.safetensors", "model.json", "history.csv"):
        assert Path("artifacts/attend", name).read_bytes() == Path("artifacts/pretrain", name).read_bytes()


def test_without_a_model_it_says_what_to_run() -> None:
    with pytest.raises(UserError, match="dvc repro pretrain"):
        main(NoAttentionConfig())
    assert not Path("artifacts/attend").exists()

"""A section of params.yaml becomes a config, or a message that names the field."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from stages.core.config.params import Params, load_section, models_by_method, parse_yaml, read_params, validate_section
from stages.core.errors import UserError, did_you_mean


class Queue(Params):
    length: int = Field(default=10, ge=1)


class SwAV(Params):
    method: Literal["swav"] = "swav"
    temperature: float = Field(default=0.1, gt=0)
    queue: Queue = Queue()


class NoPretrainingConfig(Params):
    method: Literal["none"] = "none"


Config = Annotated[SwAV | NoPretrainingConfig, Field(discriminator="method")]

WHOLE = "pretrain:\n  method: swav\n  temperature: 0.2\n  queue:\n    length: 5\n"


def load(tmp_path: Path, text: str, config_type: object = Config) -> object:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_section("pretrain", config_type, path)


def test_a_written_out_section_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, WHOLE) == SwAV(temperature=0.2, queue=Queue(length=5))


def test_a_stage_without_methods_is_read(tmp_path: Path) -> None:
    assert load(tmp_path, "pretrain:\n  length: 3\n", Queue) == Queue(length=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE.replace("0.2", "0"), "pretrain.temperature = 0: input should be greater than 0"),
        (
            WHOLE.replace("length: 5", "length: 0"),
            "pretrain.queue.length = 0: input should be greater than or equal to 1",
        ),
        (
            WHOLE.replace("temperature", "temprature"),
            "pretrain.temprature = 0.2: no such field (did you mean 'temperature'?)",
        ),
        (WHOLE.replace("0.2", ".inf"), "pretrain.temperature = inf: input should be a finite number"),
        (WHOLE.replace("0.2", ".nan"), "pretrain.temperature = nan: input should be a"),
        (WHOLE + "  temperature: 0.3\n", "params.yaml: not valid YAML: 'temperature' stands twice"),
        (WHOLE + "    length: 6\n", "params.yaml: not valid YAML: 'length' stands twice"),
        (
            WHOLE.replace("swav", "swaw"),
            "pretrain.method = 'swaw': no such method (did you mean 'swav'?); there are: swav, none",
        ),
        (WHOLE.replace("swav", "none"), "pretrain.temperature = 0.2: no such field"),
        (WHOLE.replace("  method: swav\n", ""), "pretrain.method = None: no such method"),
        (WHOLE.replace("  temperature: 0.2\n", ""), "not written out in full; missing: pretrain.temperature"),
        (WHOLE.replace("    length: 5\n", "    {}\n"), "missing: pretrain.queue.length"),
        ("cluster: {}\n", "section 'pretrain' is missing"),
        ("pretrain: 3\n", "must be a mapping of fields, found 3"),
        ("pretrain: [\n", "not valid YAML"),
        ("- pretrain\n", "must hold one section per stage, found list"),
        ("", "must hold one section per stage, found NoneType"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    assert "params.yaml" in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("index: é".encode("latin-1"))
    with pytest.raises(UserError, match=f"^{path}: not a text in UTF-8; save it as UTF-8"):
        read_params(path)


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        validate_section("pretrain", {"method": "swav", "temperature": -1, "queue": {"length": -1}}, Config, "recipe")
    assert [line.split(" = ")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "pretrain.temperature",
        "pretrain.queue.length",
    ]


def test_a_missing_file_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file; write it with `luss use"):
        load_section("pretrain", Config, tmp_path / "nowhere.yaml")


def test_configs_are_found_by_method() -> None:
    assert models_by_method(Config) == {"swav": SwAV, "none": NoPretrainingConfig}
    assert models_by_method(Queue) == {"": Queue}
    assert models_by_method(Annotated[NoPretrainingConfig, Field()]) == {"none": NoPretrainingConfig}


def test_a_number_out_of_range_is_not_taken_for_another_methods_field() -> None:
    class Other(Params):
        method: Literal["other"] = "other"
        temperature: float = 0.1

    union = Annotated[SwAV | Other, Field(discriminator="method")]
    with pytest.raises(UserError) as caught:
        validate_section("pretrain", {"method": "swav", "temperature": -1}, union, "here")
    assert "luss use" not in str(caught.value)
    with pytest.raises(UserError, match="A method's fields belong to it"):
        validate_section("pretrain", {"method": "none", "temperature": 0.1}, Config, "here")


def test_a_key_may_stand_in_several_mappings_and_behind_anchors() -> None:
    assert parse_yaml("a: &one {k: 1}\nb: {<<: *one, k: 2}\nc: [*one, {k: 3}]\n") == {
        "a": {"k": 1},
        "b": {"k": 2},
        "c": [{"k": 1}, {"k": 3}],
    }
    assert parse_yaml("") is None


def test_names_are_suggested_whatever_their_case() -> None:
    assert did_you_mean("SWAV", ["swav", "none"]) == " (did you mean 'swav'?)"

"""`luss data check`: what the stage `index` sees in data/, and which recipe fits it."""

from __future__ import annotations

from stages.core.words import how_many


def describe_data(most: int | None = None) -> str:
    """Print what `index` would find and leave out by params.yaml, and the recipes of data sets that fit.

    Args:
        most: Photographs of each split that are read; None for all.

    Returns:
        What is wrong with the masks, in a line; empty if nothing is.

    Raises:
        UserError: There is no data/, or the layout of params.yaml does not find what it needs.
    """
    from flows.recipes.fitting import Fit, find_fitting
    from stages.core.config.params import load_section
    from stages.core.errors import UserError
    from stages.index import Config
    from stages.index.layout import require_data
    from stages.index.survey import describe_bad_masks, describe_survey, survey_data

    require_data()
    config = load_section("index", Config)

    def describe(fit: Fit) -> str:
        mistaken = f", but takes {how_many(fit.mistaken, 'mask')} for photographs" if fit.mistaken else ""
        return f"{fit.recipe} ({how_many(fit.photographs, 'photograph')}, {how_many(fit.masks, 'mask')}{mistaken})"

    fits = ", ".join(map(describe, find_fitting()))
    told = f"Recipes of data sets that find photographs here: {fits or 'none'}"
    try:
        survey = survey_data(config, most)
    except UserError as error:
        raise UserError(f"{error}\n{told}") from None
    part = "" if most is None else f" (of each split at most {how_many(most, 'photograph')}, evenly spread over it)"
    print(f"The layout {config.method} of params.yaml finds{part}:")
    print("\n".join([*describe_survey(survey), told]))
    return describe_bad_masks(survey)

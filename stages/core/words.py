"""Numbers with what they count, as a sentence has them."""


def how_many(number: int, noun: str) -> str:
    """`1 photograph`, `2 photographs`, `1,000 classes`.

    Args:
        number: From 0.
        noun: What is counted, as of one: its plural must end with s, or with es behind an s.
    """
    plural = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural}"

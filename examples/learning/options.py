"""Kinds of command-line options that the scripts share."""

import argparse

from .images import Crop


def at_least_one(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def crop(text: str) -> Crop:
    """Read a crop from JSON."""
    try:
        return Crop.parse(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"not a crop: {error}") from error

"""Every text that is ever sent to a model, one template a file, and how a template is filled in."""

from __future__ import annotations

from functools import cache
from importlib import resources

import jinja2


@cache
def source(name: str) -> str:
    """The text of a template, comments included: what a stored answer's version is made from."""
    return resources.files(__name__).joinpath(f"{name}.md.jinja").read_text("utf-8")


@cache
def template(name: str) -> jinja2.Template:
    """The template, compiled; a variable that is missing is an error."""
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source(name))  # noqa: S701 - text for a model


def fenced(text: str) -> str:
    """A text that cannot end the fence it stands in."""
    return text.replace("<<<", "‹‹‹").replace(">>>", "›››")

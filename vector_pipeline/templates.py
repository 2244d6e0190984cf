"""`{{ env('NAME', 'default') }}` in declarations: read alike by Dagster's component and by the command line.

Dagster's own resolution evaluates every string as a Python literal, so a table named `2024` becomes a number. Here only
a string that holds a template is touched, and only the environment can be named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args, get_origin

from jinja2 import Environment, StrictUndefined, TemplateError
from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

_ENVIRONMENT = Environment(undefined=StrictUndefined, autoescape=False)

TemplateText = Annotated[str, Field(pattern=r"\{\{.*\}\}", description="A template, such as {{ env('NAME', '1') }}.")]


class UnresolvedTemplateError(Exception):
    """A template is not one, or names a variable that is not set."""


class _Variables:
    """`env` in a template: `env('NAME', default)`, or `env.NAME`, which is None where it is not set."""

    def __call__(self, name: str, *default: object) -> object:
        if name in os.environ:
            return os.environ[name]
        if not default:
            raise UnresolvedTemplateError(f"environment variable {name} is not set")
        return default[0]

    def __getattr__(self, name: str) -> object:
        if name.startswith(("__", "jinja")):  # Jinja's own questions
            raise AttributeError(name)
        return os.environ.get(name)


def is_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def resolve(template: str) -> object:
    """The value of a template. One that is a single expression keeps its type: an unset `env.NAME` is None.

    Raises:
        UnresolvedTemplateError: a variable is not set and has no default, or the template can't be read.
    """
    text = template.strip()
    try:
        if text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1:
            return _ENVIRONMENT.compile_expression(text[2:-2], undefined_to_none=False)(env=_Variables())
        return _ENVIRONMENT.from_string(template).render(env=_Variables())
    except (TemplateError, TypeError, ValueError) as error:
        raise UnresolvedTemplateError(str(error)) from None


FieldPath = tuple[str, ...]

# Its braces are filled row by row, not here.
_TEMPLATE_OF_TEXTS: FieldPath = ("embedding", "template")


def templates_in(attributes: Mapping[str, Any], at: FieldPath = ()) -> Iterator[tuple[FieldPath, str]]:
    """Every template among the attributes, with the path of its field; of a list, each with the path of the list."""
    for key, value in attributes.items():
        if isinstance(value, Mapping):
            yield from templates_in(value, (*at, key))
        elif (*at, key) != _TEMPLATE_OF_TEXTS:
            yield from (((*at, key), entry) for entry in _entries(value) if is_template(entry))


def resolve_all(attributes: Mapping[str, Any], at: FieldPath = ()) -> tuple[dict[str, Any], dict[FieldPath, str]]:
    """The attributes with their templates resolved, and why some could not be: those stay as they are written."""
    values: dict[str, Any] = {}
    failures: dict[FieldPath, str] = {}
    for key, value in attributes.items():
        values[key] = value
        if isinstance(value, Mapping):
            values[key], inner = resolve_all(value, (*at, key))
            failures |= inner
        elif (*at, key) != _TEMPLATE_OF_TEXTS and any(map(is_template, _entries(value))):
            try:
                resolved = [resolve(entry) if is_template(entry) else entry for entry in _entries(value)]
            except UnresolvedTemplateError as error:
                failures[*at, key] = str(error)
            else:
                values[key] = resolved if isinstance(value, list) else resolved[0]
    return values, failures


def _entries(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def admit_templates(model: type[BaseModel]) -> type[BaseModel]:
    """A model like this one in which a number, a truth value or a choice may also be written as a template.

    For the schema of what stands in a file; what the templates yield is validated by the model itself.
    """
    fields: dict[str, Any] = {name: _admitting_field(field) for name, field in model.model_fields.items()}
    return create_model(
        model.__name__, __config__=model.model_config, __doc__=model.__doc__, __module__=model.__module__, **fields
    )


def _admitting_field(field: FieldInfo) -> tuple[Any, Any]:
    annotation = _admitting(field.annotation)
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    if _has_scalar(field.annotation) and not _is_discriminator(field.annotation):
        annotation = annotation | TemplateText
    described: dict[str, Any] = {
        "description": field.description,
        "examples": field.examples,
        "discriminator": field.discriminator,
    }
    if field.default_factory is not None:
        described["default_factory"] = field.default_factory
    else:
        described["default"] = field.default
    return annotation, Field(**described)


def _admitting(annotation: Any) -> Any:
    """The same type over models that admit templates."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return admit_templates(annotation)
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if not arguments or origin is Literal:
        return annotation
    if origin is Annotated:
        return Annotated[(_admitting(arguments[0]), *arguments[1:])]
    inner = tuple(_admitting(argument) for argument in arguments)
    return origin[inner] if origin in (dict, list) else reduce(or_, inner)


def _has_scalar(annotation: Any) -> bool:
    if annotation in (bool, int, float) or get_origin(annotation) is Literal:
        return True
    return get_origin(annotation) not in (dict, list) and any(_has_scalar(part) for part in get_args(annotation))


def _is_discriminator(annotation: Any) -> bool:
    """A choice of one: it tells which of several models is meant."""
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1

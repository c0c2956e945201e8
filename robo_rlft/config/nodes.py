"""Check config nodes against the constructors they name, and build them.

A node is a mapping with `_target_`, the path of a class, and the constructor's arguments. Only classes that are defined
in this package, a short list of others and what the user trusts by name are ever imported for it; nothing is called
that is not a class, and nothing is built before everything is checked.
"""

from __future__ import annotations

import importlib
import inspect
import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

from robo_rlft.config.errors import ConfigError, did_you_mean

TARGET = "_target_"
PACKAGE = "robo_rlft."

# Classes of others that a config may name without the user's word.
ALLOWED = frozenset(
    {
        "lightning.pytorch.Trainer",
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.loggers.TensorBoardLogger",
    }
)


def target_class(target: str, *, trust: Collection[str] = ()) -> type[Any]:
    """Return the class that `_target_` names.

    Raises:
        ConfigError: it is not allowed, does not exist, is private, or is not a class defined under that very name.
    """
    private = [part for part in target.split(".") if part.startswith("_")]
    if private:
        raise ConfigError(f"_target_ '{target}' names what is private ('{private[0]}'); name a public class")
    if not target.startswith(PACKAGE) and target not in ALLOWED and target not in trust:
        raise ConfigError(
            f"_target_ '{target}' is not one of ours; if you know the code and trust it, add trust=[{target}]"
        )
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        own = isinstance(error, ModuleNotFoundError) and target in trust
        advice = f"; is the folder that holds {module_name.split('.')[0]} on PYTHONPATH?" if own else ""
        raise ConfigError(f"_target_ '{target}': cannot import {module_name}: {error}{advice}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [k for k, v in vars(module).items() if isinstance(v, type)]
        raise ConfigError(f"_target_ '{target}': {module_name} has no class '{name}'{did_you_mean(name, classes)}")
    if target.startswith(PACKAGE) and not found.__module__.startswith(PACKAGE):
        raise ConfigError(f"_target_ '{target}' is a class of {found.__module__}; name it by its own path")
    if target.startswith(PACKAGE) and found.__name__.startswith("_"):
        raise ConfigError(f"_target_ '{target}' is the private class {found.__name__}; name a public one")
    return found


def parameters_of(target: str, *, trust: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Return the arguments of a target's constructor by name, `self` left out."""
    # Of `__init__`, not of the class: a class with a `__new__` of its own would show that one's arguments.
    constructor = inspect.signature(target_class(target, trust=trust).__init__)
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: p for name, p in list(constructor.parameters.items())[1:] if p.kind in named}


def check_node(
    path: str,
    node: Any,
    *,
    provided: Collection[str] = (),
    trust: Collection[str] = (),
    examples: Any = None,
) -> list[str]:
    """Return what is wrong with a node and the nodes in it, in words; nothing when it can be built.

    Args:
        path: Where the node is in the config: "algorithm".
        node: The mapping.
        provided: Arguments that come from elsewhere when it is built, and so may be missing.
        trust: Classes outside this package that the user allowed.
        examples: The same node with its shipped values, for messages.
    """
    if not isinstance(node, Mapping) or TARGET not in node:
        return [f"{path}: expected a mapping with {TARGET}, got {shown(node)}"]
    target = str(node[TARGET])
    try:
        parameters = parameters_of(target, trust=trust)
    except ConfigError as error:
        return [f"{path}: {error}"]
    annotations = annotations_of(target_class(target, trust=trust))
    problems = []
    for key, value in node.items():
        where = f"{path}.{key}"
        if key == TARGET:
            continue
        if key not in parameters:
            hint = did_you_mean(str(key), parameters)
            problems.append(f"{where}: {target} takes no '{key}'{hint} It takes: {', '.join(parameters)}")
            continue
        example = examples.get(key) if isinstance(examples, Mapping) else None
        problems += check_value(
            where, value, annotations.get(key, Any), provided=provided, trust=trust, example=example
        )
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in node and key not in provided:
            expected = described(annotations.get(key, Any))
            problems.append(f"{path}.{key}: missing; {target} needs {expected}; e.g. {path}.{key}=VALUE")
    return problems


def check_arguments(values: Mapping[str, Any], arguments: type[Any], *, examples: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a command's own arguments, given as the fields of a dataclass."""
    problems = []
    for key, annotation in annotations_of(arguments).items():
        if key not in values:
            problems.append(f"{key}: missing; expected {described(annotation)}")
        else:
            problems += check_value(key, values[key], annotation, example=examples.get(key))
    return problems


def check_value(
    path: str,
    value: Any,
    annotation: Any,
    *,
    provided: Collection[str] = (),
    trust: Collection[str] = (),
    example: Any = None,
) -> list[str]:
    """Return what is wrong with one value, nested nodes included."""
    if isinstance(value, Mapping) and TARGET in value:
        return check_node(path, value, provided=provided, trust=trust, examples=example)
    if _holds_nodes(value):
        children = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [
            problem
            for key, child in children
            if _holds_nodes(child)
            for problem in check_value(f"{path}.{key}", child, Any, provided=provided, trust=trust)
        ]
    try:
        converted(value, annotation)
    except ValidationError as error:
        return [_sentence(path, value, annotation, example, error)]
    return []


def converted(value: Any, annotation: Any) -> Any:
    """Return a plain config value as the annotation wants it (a list as a tuple, text as a path), strictly.

    Raises:
        ValidationError: the value is of another type; only whole numbers pass as real ones.
    """
    if annotation in (Any, inspect.Parameter.empty):
        return value
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError):
        try:
            # A type with a schema of its own (a dataclass) takes no config beside it.
            adapter = TypeAdapter(annotation)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError):
            return value
    # By way of JSON: there lists may become tuples and text paths, while text never becomes a number.
    return adapter.validate_json(json.dumps(value), strict=True)


def build(node: Mapping[str, Any], *, trust: Collection[str] = (), path: str = "", **context: Any) -> Any:
    """Build the object that a node describes, and before it those in its arguments.

    Args:
        node: A checked mapping with `_target_`.
        trust: Classes outside this package that the user allowed.
        path: Where the node is in the config, for messages.
        **context: Values that constructors may ask for by name; the node's own values come first.

    Raises:
        ConfigError: the target is not allowed, or its constructor refuses a value.
    """
    target = str(node[TARGET])
    parameters = parameters_of(target, trust=trust)
    annotations = annotations_of(target_class(target, trust=trust))
    arguments = {key: value for key, value in context.items() if key in parameters}
    for key, value in node.items():
        if key != TARGET:
            arguments[str(key)] = _built(
                value, annotations.get(str(key), Any), trust=trust, path=f"{path}.{key}".lstrip("."), context=context
            )
    try:
        return target_class(target, trust=trust)(**arguments)
    except ConfigError:
        raise
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ConfigError(f"{path or target}: {error}") from error


def _built(value: Any, annotation: Any, *, trust: Collection[str], path: str, context: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping) and TARGET in value:
        return build(value, trust=trust, path=path, **context)
    if _holds_nodes(value):
        if isinstance(value, Mapping):
            return {k: _built(v, Any, trust=trust, path=f"{path}.{k}", context=context) for k, v in value.items()}
        return [_built(v, Any, trust=trust, path=f"{path}.{i}", context=context) for i, v in enumerate(value)]
    return converted(value, annotation)


def _holds_nodes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return TARGET in value or any(_holds_nodes(item) for item in value.values())
    return isinstance(value, list) and any(_holds_nodes(item) for item in value)


def annotations_of(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of a constructor's arguments; nothing where they cannot be resolved."""
    for source in (cls.__init__, cls):
        try:
            hints = typing.get_type_hints(source, include_extras=True)
        except (NameError, TypeError, AttributeError):
            continue
        hints.pop("return", None)
        if hints:
            return hints
    return {}


_NAMES: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    type(None): "null",
}
_EXAMPLES: dict[Any, Any] = {float: 0.5, int: 3, bool: True, str: "text"}


def described(annotation: Any) -> str:
    """Return a type in words: "a whole number or null"."""
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return described(inner[0]) + "".join(_limits(part) for part in inner[1:])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(part) for part in inner)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        parts = [described(part) for part in inner if part is not Ellipsis]
        return f"a list of {parts[0]}" if len(set(parts)) == 1 else "a list of " + ", ".join(parts)
    if annotation is Any:
        return "a value"
    return f"a {getattr(annotation, '__name__', str(annotation))}"


def _limits(constraint: Any) -> str:
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    return "".join(f" {words[name]} {getattr(constraint, name)}" for name in words if hasattr(constraint, name))


def shown(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).replace("None", "null").lower()
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list | tuple):
        return "[" + ",".join(shown(item).strip("'") for item in value) + "]"
    return str(value)


def _sentence(path: str, value: Any, annotation: Any, example: Any, error: ValidationError) -> str:
    if example is None or example == value:
        inner = [part for part in (annotation, *typing.get_args(annotation)) if part in set(_EXAMPLES)]
        choices = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
        example = choices[0] if choices else _EXAMPLES[inner[0]] if inner else None
    first = error.errors()[0]
    deeper = "".join(f".{part}" for part in first["loc"] if isinstance(part, int))
    detail = f" (at {path}{deeper})" if deeper else ""
    ending = f"; e.g. {path}={shown(example).strip(chr(39))}" if example is not None else ""
    return f"{path}: expected {described(annotation)}, got {shown(value)}{detail}{ending}"

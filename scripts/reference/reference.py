"""A model and the inputs on which it is compared."""

from dataclasses import dataclass, field


@dataclass
class Case:
    """One call: the inputs by name, as arrays (strings as arrays of objects)."""

    batch: int
    inputs: dict


@dataclass
class Reference:
    """A model, what is special about it, and its calls."""

    name: str
    about: str
    model: object
    cases: list = field(default_factory=list)

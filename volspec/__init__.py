"""Text to `Spec` and back: the volfile, its YAML form, and errors that say where. Knows no translator."""

from .assembly import build
from .errors import Problem, SpecError, nearest
from .fill import CommandRunner, Params
from .reading import Dialect, Format, load, parse, parse_yaml
from .source import Position
from .spec import Option, Spec, Volume, Word

__all__ = [
    "CommandRunner",
    "Dialect",
    "Format",
    "Option",
    "Params",
    "Position",
    "Problem",
    "Spec",
    "SpecError",
    "Volume",
    "Word",
    "build",
    "load",
    "nearest",
    "parse",
    "parse_yaml",
]

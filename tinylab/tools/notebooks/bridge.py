"""Answers across the border between a grader and the kernel of a submission: plain data goes over, code never does.

`encode` and `decode` turn numbers, text, lists, dictionaries, numpy arrays and tensors into JSON and back; what is
none of these arrives as an `Opaque` that only tells what it was. A function stays where it is: `call` runs it in its
kernel on arguments that came as JSON.
"""

import base64
import json
import sys
import types
from dataclasses import dataclass
from typing import Any

import numpy as np

MIME = "application/vnd.tinylab.answer+json"
LARGEST = 10_000_000  # letters: an answer that is larger is no answer
_DEEPEST = 20


@dataclass(frozen=True)
class Opaque:
    """Something that does not cross the border."""

    kind: str


class Callable:
    """A function on the other side; the host gives it a meaning."""


def encode(value: Any, depth: int = 0) -> Any:
    """JSON data that `decode` turns into an equal value."""
    if depth > _DEEPEST:
        return {"is": "other", "kind": "nested too deeply"}
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return {"is": "float", "of": value.hex()}  # JSON knows no nan
    if value is ...:
        return {"is": "dots"}
    if type(value) in (list, tuple, set, frozenset):
        return {"is": type(value).__name__, "of": [encode(one, depth + 1) for one in value]}
    if type(value) is dict:
        return {"is": "dict", "of": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        array = np.ascontiguousarray(value)
        shape = list(np.shape(value))
        raw = base64.b64encode(array.tobytes()).decode()
        return {"is": "array", "dtype": array.dtype.str, "shape": shape, "of": raw, "scalar": np.isscalar(value)}
    torch = sys.modules.get("torch")  # an answer that is a tensor has imported it; others need not wait for that
    if torch is not None and isinstance(value, torch.Tensor) and value.layout == torch.strided:
        plain = value.detach().cpu()
        plain = plain.float() if plain.dtype == torch.bfloat16 else plain
        return {"is": "tensor", "gradient": value.requires_grad, "of": encode(plain.numpy())}
    if callable(value):
        from tinylab.course.exercises import untouched

        return {"is": "dots"} if untouched(value) else {"is": "function"}
    return {"is": "other", "kind": type(value).__name__[:80]}


def decode(data: Any) -> Any:
    """The value that `encode` was given; Opaque for what did not cross, Callable for a function."""
    if not isinstance(data, dict):
        return data
    kind, of = data["is"], data.get("of", "")
    if kind == "float":
        return float.fromhex(of)
    if kind == "dots":
        return ...
    if kind in ("list", "tuple", "set", "frozenset"):
        built: Any = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
        return built(map(decode, of))
    if kind == "dict":
        return {decode(key): decode(value) for key, value in of}
    if kind == "array":
        dtype = np.dtype(data["dtype"])
        if dtype.kind not in "biufU":
            return Opaque("array")
        array = np.frombuffer(base64.b64decode(of), dtype).reshape(data["shape"]).copy()
        return array[()] if data.get("scalar") else array
    if kind == "tensor":
        import torch

        return torch.from_numpy(np.asarray(decode(of))).requires_grad_(bool(data["gradient"]))
    return Callable() if kind == "function" else Opaque(str(data.get("kind", "other")))


def tell(nonce: str, names: dict[str, Any], expression: str) -> None:
    """In the kernel: display the value of an expression over its names, encoded, for the host that knows `nonce`."""
    try:
        value = encode(eval(expression, names))
    except Exception as error:
        value = _raised(error)
    _show(nonce, {"value": value})


def call(nonce: str, names: dict[str, Any], expression: str, arguments: str) -> None:
    """In the kernel: call a function on arguments that came as JSON; display its result, and the arguments after it."""
    given = decode(json.loads(arguments))
    try:
        value = encode(eval(expression, names)(*given))
    except (Exception, SystemExit) as error:
        value = _raised(error)
    _show(nonce, {"value": value, "arguments": encode(given)})


def _raised(error: BaseException) -> dict[str, Any]:
    return {"is": "error", "kind": type(error).__name__, "message": str(error)[:300]}


def _show(nonce: str, data: dict[str, Any]) -> None:
    from IPython.display import display

    text = json.dumps(data)
    if len(text) > LARGEST:
        data = {"value": {"is": "other", "kind": f"value of {len(text)} letters"}}
    display({MIME: {"nonce": nonce} | data, "text/plain": ""}, raw=True)


def error_class(kind: str) -> type[Exception]:
    """An exception class with the name of one that was raised on the other side."""
    return types.new_class(kind if kind.isidentifier() else "Exception", (Exception,))

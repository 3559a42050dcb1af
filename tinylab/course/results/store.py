"""Where records lie: those that come with tinylab, by name, and those of a sweep's folder.

`<name>.json` is the record; `<name>.safetensors`, beside some, holds the weights of all layers but the fully
connected ones after several epochs: a few hundred KB, where fc(512) alone takes 34 MB. `<name>.answers.safetensors`:
what the network answers to the official validation images (see `answers`). `<name>.network.safetensors`: the whole
network (see `networks`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tinylab.course.results import networks
from tinylab.course.results.answers import Answers, read
from tinylab.course.results.record import Record, dumps, loads
from tinylab.support.errors import DataError, InvalidInputError, TrainingError, nearest
from tinylab.support.files import atomic_write

FOLDER = Path(__file__).parent / "stored"  # the records that come with tinylab
LARGEST = 16_000_000  # bytes: all of them together, weights and answers included
ENDINGS = (".json", ".safetensors", ".answers.safetensors", networks.ENDING)  # the record itself first


def names(folder: str | Path | None = None) -> tuple[str, ...]:
    """The records of a folder, by default those that come with tinylab; in alphabetical order."""
    return tuple(sorted(path.stem for path in _folder(folder).glob("*.json")))


def load(name: str, folder: str | Path | None = None) -> Record:
    """A record by name. Nothing in the file is executed.

    Raises InvalidInputError for an unknown name, with the nearest; TrainingError for a file that is no record, was
    changed since it was written, or holds what no training can give.
    """
    here = _folder(folder)
    known = names(here)
    if name not in known:
        hint = nearest(name, known) if known else ". There is none yet: `tinylab sweep` makes them"
        raise InvalidInputError(f"record {name!r} is unknown{hint}")
    path = here / f"{name}.json"
    try:
        record = loads(path.read_bytes())
        if record.name != name:
            raise TrainingError(f"the record inside is {record.name!r}. Give the file its own name again")
    except (OSError, TrainingError) as error:
        raise TrainingError(f"{path}: {' '.join(str(error).split())}") from None
    return record


def load_all(folder: str | Path | None = None, plan: str | None = None) -> list[Record]:
    """All records of a folder, or those of one plan."""
    records = [load(name, folder) for name in names(folder)]
    return [record for record in records if plan is None or record.plan == plan]


def save(
    record: Record,
    folder: str | Path,
    weights: Mapping[int, Mapping[str, Tensor]] | None = None,
    answered: Mapping[str, Tensor] | None = None,
) -> Record:
    """Write a record, with the weights of some epochs and the answers if there are any; returns it as it is stored.

    Each file is whole at every instant, and a record never comes before its weights. Raises TrainingError for a record
    that no training can give, FileError for a file that cannot be written.
    """
    from safetensors.torch import save as pack

    folder = Path(folder)
    record = replace(record, weights=tuple(sorted(weights or {})), weights_digest="", answers_digest="")
    beside: dict[str, bytes] = {}
    if weights:
        tensors = {f"{epoch}/{key}": value for epoch, state in weights.items() for key, value in state.items()}
        beside[".safetensors"] = pack({key: value.contiguous() for key, value in sorted(tensors.items())})
        record = replace(record, weights_digest=_digest(beside[".safetensors"]))
    if answered:
        beside[".answers.safetensors"] = pack(dict(sorted(answered.items())))
        record = replace(record, answers_digest=_digest(beside[".answers.safetensors"]))
    content = dumps(record)
    for ending, packed in beside.items():
        atomic_write(folder / f"{record.name}{ending}", packed)
    atomic_write(folder / f"{record.name}.json", content)
    return loads(content)


def kept(model: nn.Module) -> dict[str, Tensor]:
    """What `save` takes of a network: everything but its fully connected layers, on the CPU.

    Weights in float16, which moves none by more than 0.05 %; what is a vector (biases, batch normalisation) as it is.
    """
    full = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    state = {key: value for key, value in model.state_dict().items() if key.rpartition(".")[0] not in full}
    return {
        key: value.detach().to("cpu", torch.float16 if value.ndim > 1 and value.is_floating_point() else value.dtype)
        for key, value in state.items()
    }


def weights(name: str, epoch: int | None = None, folder: str | Path | None = None) -> dict[str, Tensor]:
    """Weights of all layers but the fully connected ones after `epoch` (0: before training), by their state_dict key.

    Convolutions float32 (N, C, k, k); kept as float16. epoch: None for the last that was kept. Raises
    InvalidInputError for an epoch that was not kept, TrainingError for a damaged file.
    """
    from safetensors.torch import load as unpack

    record = load(name, folder)
    if not record.weights:
        raise InvalidInputError(f"record {name!r} keeps no weights. Choose one of {', '.join(_with(folder)) or 'none'}")
    epoch = record.weights[-1] if epoch is None else epoch
    if epoch not in record.weights:
        raise InvalidInputError(
            f"record {name!r} keeps no weights of epoch {epoch!r}. Allowed: {', '.join(map(str, record.weights))}"
        )
    packed = _packed(_folder(folder), record)
    found = {key: value for key, value in unpack(packed).items() if key.startswith(f"{epoch}/")}
    return {
        key.partition("/")[2]: value.float() if value.dtype == torch.float16 else value for key, value in found.items()
    }


def answers(name: str, folder: str | Path | None = None) -> Answers:
    """What the recorded network answers to the official validation images.

    Raises InvalidInputError for a record that keeps no answers, TrainingError for a damaged file.
    """
    from safetensors.torch import load as unpack

    record = load(name, folder)
    if not record.answers_digest:
        having = [known for known in names(folder) if load(known, folder).answers_digest]
        raise InvalidInputError(f"record {name!r} keeps no answers. Choose one of {', '.join(having) or 'none'}")
    return read(unpack(_packed(_folder(folder), record, ".answers.safetensors")))


def network(name: str, folder: str | Path | None = None) -> networks.Network:
    """A whole trained network, by the name of its plan, such as "laptop": `.network()` is the module, `.normalisation`
    what its images need first, `.classes` and `.words` its outputs' names.

    Raises InvalidInputError for an unknown name, TrainingError for a damaged file.
    """
    return networks.find(name, _folder(folder))


def _packed(folder: Path, record: Record, ending: str = ".safetensors") -> bytes:
    """What lies beside the record, if it is what was kept."""
    what, digest = ("weights", record.weights_digest)
    if ending != ".safetensors":
        what, digest = ("answers", record.answers_digest)
    path = folder / f"{record.name}{ending}"
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise TrainingError(
            f"{path}: the {what} cannot be read ({error.strerror}). Take the record over again"
        ) from None
    if _digest(packed) != digest:
        raise TrainingError(f"{path}: these are not the {what} of the record (their digest differs)")
    return packed


def _digest(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()


def _with(folder: str | Path | None) -> list[str]:
    return [name for name in names(folder) if (_folder(folder) / f"{name}.safetensors").exists()]


def add(source: str | Path, folder: str | Path | None = None, *, weights: bool = True) -> tuple[str, ...]:
    """Take all records (failed ones too) of a sweep's folder over, with or without weights; returns their names.

    Answers and whole networks always come along.

    Every one is checked first, and nothing is copied if all together would be larger than tinylab should be. Raises
    InvalidInputError for a folder without records, DataError for too much, TrainingError for a damaged one.
    """
    source, target = Path(source), _folder(folder)
    found = names(source)
    if not found:
        raise InvalidInputError(f"{source} holds no records. Name the --out folder of `tinylab sweep`")
    files: dict[str, bytes] = {}
    for name in found:
        record = load(name, source)
        if name in names(target) and load(name, target) == record:  # its file stays as the sweep wrote it then
            continue
        if record.answers_digest:
            files[f"{name}.answers.safetensors"] = _packed(source, record, ".answers.safetensors")
        whole = source / f"{name}{networks.ENDING}"
        if whole.exists():
            files[whole.name] = whole.read_bytes()
            networks.unpack(files[whole.name])
        if record.weights and weights:
            files[f"{name}.safetensors"] = _packed(source, record)
        else:
            record = replace(record, weights=(), weights_digest="")
        files[f"{name}.json"] = dumps(record)
    sizes = {path.name: path.stat().st_size for path in _all_files(target)}
    sizes |= {name: len(content) for name, content in files.items()}
    if (total := sum(sizes.values())) > LARGEST:
        raise DataError(
            f"with these, the records would take {total / 1e6:.1f} MB; allowed are {LARGEST / 1e6:.1f}. Take them over "
            "without weights (--no-weights), or fewer of them"
        )
    for name, content in sorted(files.items(), reverse=True):  # weights before their record
        atomic_write(target / name, content)
    return found


def size(folder: str | Path | None = None) -> int:
    """Bytes of all records of a folder, weights included."""
    return sum(path.stat().st_size for path in _all_files(_folder(folder)))


def _all_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.suffix in ENDINGS]


def _folder(folder: str | Path | None) -> Path:
    return FOLDER if folder is None else Path(folder)

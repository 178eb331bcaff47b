"""How the files of each format are damaged."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from reliability.files.documents import damaged_json, damaged_text, parsed, written
from reliability.files.mutating import damaged
from reliability.files.seeds import Seed

Files = dict[str, bytes]


def by_bytes(seed: Seed, rng: random.Random) -> Files:
    return {"": damaged(seed.content, rng, seed.fields)}


def packed(pack: Callable[[bytes], bytes]) -> Callable[[Seed, random.Random], Files]:
    """Damage in the file and then packed, or in the packed bytes."""

    def damage(seed: Seed, rng: random.Random) -> Files:
        if rng.random() < 0.5:
            return {"": pack(damaged(seed.content, rng, seed.fields))}
        return {"": damaged(pack(seed.content), rng)}

    return damage


def nifti(seed: Seed, rng: random.Random) -> Files:
    if seed.name.endswith(".gz") and rng.random() < 0.7:
        return {"": gzip.compress(damaged(gzip.decompress(seed.content), rng), 1, mtime=0)}
    return by_bytes(seed, rng)


def store(seed: Seed, rng: random.Random) -> Files:
    """Damage metadata as JSON, chunks as bytes; drop, double or swap files."""
    files = dict(seed.files)
    names = sorted(files)
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice([n for n in names if Path(n).name[0] in "z."] if rng.random() < 0.8 else names)
        other, kind = rng.choice(names), rng.random()
        if name not in files or other not in files:
            continue
        if kind < 0.05:
            del files[name]
        elif kind < 0.1:
            files[name], files[other] = files[other], files[name]
        elif Path(name).name[0] in "z.":
            try:
                files[name] = damaged_json(files[name].decode(), rng).encode("utf-8", "surrogatepass")
            except (ValueError, RecursionError):  # damaged once before
                files[name] = damaged(files[name], rng)
        else:
            files[name] = damaged(files[name], rng)
    return files


def lists(seed: Seed, rng: random.Random) -> Files:
    return {**seed.files, seed.name: damaged_text(seed.files[seed.name].decode(), rng)}


def layers(seed: Seed, rng: random.Random) -> Files:
    return {**seed.files, "a.json": damaged_json(seed.files["a.json"].decode(), rng).encode("utf-8", "surrogatepass")}


def safetensors(seed: Seed, rng: random.Random) -> Files:
    """Damage bytes; or the header as JSON, and what metadata hold as JSON in its strings, with its length put right."""
    content = seed.content
    if rng.random() < 0.3:
        return {"": damaged(content, rng, seed.fields)}
    length = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + length].decode()
    about = [pair for pair in parsed(text) if pair[0] == "__metadata__"]
    if about and about[0][1] and rng.random() < 0.6:
        root = parsed(text)
        metadata = next(pair[1] for pair in root if pair[0] == "__metadata__")
        entry = rng.choice(metadata)
        entry[1] = damaged_json(entry[1], rng)
        text = written(root)
    else:
        text = damaged_json(text, rng)
    header = text.encode("utf-8", "surrogatepass")
    return {"": len(header).to_bytes(8, "little") + header + content[8 + length :]}


def state_dict(seed: Seed, rng: random.Random) -> Files:
    """Damage bytes, or a record of the archive, which is then put together again."""
    if rng.random() < 0.5 or not seed.content.startswith(b"PK"):
        return {"": damaged(seed.content, rng)}
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seed.content)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = rng.choice([name for name in names if name.endswith("data.pkl")] if rng.random() < 0.7 else names)
        for name in names:
            record = old.read(name)
            packing = (
                rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)) if rng.random() < 0.1 else zipfile.ZIP_STORED
            )
            if name != chosen or rng.random() < 0.9:
                new.writestr(zipfile.ZipInfo(name), damaged(record, rng) if name == chosen else record, packing)
    return {"": stream.getvalue()}

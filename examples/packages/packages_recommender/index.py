"""Apt's package index -> one compressed data file, and back.

The data file is gzip-compressed JSON lines. Its first line says what it is:
`{"format": "debian-packages/1", "packages": 63436, "dataThrough": "2026-11-21T10:45:00Z", "sources": [...]}`,
every other line is one binary package:
`{"package": "python3-flask", "source": "flask", "dependencies": ["python3-click", ...]}`, sorted by name.
Only the standard library is used, so that a container without anything else can build the file.
"""

import gzip
import json
import lzma
import re
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

from .errors import InputError

FORMAT = "debian-packages/1"
# In the order of weight: what must be there before, what must be there, what should be there.
RELATIONS = ("Pre-Depends", "Depends", "Recommends")
APT_HELPER = "/usr/lib/apt/apt-helper"
PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True)
class Package:
    """A binary package, the source package it is built from, and the names of what it depends on, each once."""

    name: str
    source: str
    dependencies: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """A whole package index. `data_through` is RFC 3339 in UTC: nothing newer than that is in the index."""

    packages: tuple[Package, ...]
    data_through: str


def build(files: list[Path], output: Path) -> Index:
    """Reads apt's `Packages` files (later ones override earlier ones) and writes the data file."""
    packages: dict[str, Package] = {}
    providers: dict[str, set[str]] = {}
    for file in files:
        for stanza in stanzas(read_lines(file), str(file)):
            package = parse_package(stanza, str(file))
            packages[package.name] = package
            for name in parse_relation(stanza.get("Provides", "")):
                providers.setdefault(name, set()).add(package.name)
    if not packages:
        raise InputError(
            f"no package in {', '.join(map(str, files))}: give apt's Packages files, after `apt-get update`"
        )
    resolved = (resolve(packages[name], packages, providers) for name in sorted(packages))
    index = Index(tuple(resolved), max(published(file) for file in files))
    write(index, output, [file.name for file in files])
    return index


def discover() -> list[Path]:
    """The `Packages` files apt has on this machine, in apt's own order: a release, its updates, its security fixes."""
    command = ["apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"cannot ask apt for its indexes ({error}): name the Packages files on the command line"
        ) from error
    # apt keeps a file under another suffix than it says when it stores indexes compressed.
    found = [match for line in done.stdout.split() for match in sorted(Path(line).parent.glob(f"{Path(line).name}*"))]
    if not found:
        raise InputError("apt has no package index here: run `apt-get update` first, or name the Packages files")
    return list(dict.fromkeys(found))


def read_lines(file: Path) -> Iterator[str]:
    """The lines of a plain, gzip, xz, lz4 or zstd file, decompressed while reading."""
    if not file.is_file():
        raise InputError(f"{file} is not a file: give apt's Packages files")
    if file.suffix in (".lz4", ".zst"):
        yield from apt_lines(file)
        return
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(file.suffix, open)
    try:
        with opener(file, "rt", encoding="utf-8") as lines:
            yield from lines
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as a package index ({type(error).__name__}: {error})") from error


def apt_lines(file: Path) -> Iterator[str]:
    """The lines of a file compressed in a way that Python's standard library does not know but apt does."""
    command = [APT_HELPER, "cat-file", str(file)]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} needs apt to be decompressed ({error}): give a plain, .gz or .xz file") from error
    with process:
        yield from process.stdout
    if process.returncode != 0:
        raise InputError(f"{file} cannot be decompressed: {' '.join(command)} ended with {process.returncode}")


def stanzas(lines: Iterable[str], where: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a Debian control file. A line that starts with a blank continues the field above it."""
    stanza: dict[str, str] = {}
    field = None
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\n")
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, None
        elif line[0] in " \t" and field is not None:
            stanza[field] += " " + line.strip()
        else:
            field, colon, value = line.partition(":")
            if not colon:
                raise InputError(f"{where}, line {number}: expected `Field: value`, found {line[:80]!r}")
            stanza[field] = value.strip()
    if stanza:
        yield stanza


def parse_package(stanza: dict[str, str], where: str) -> Package:
    """One paragraph -> one package. `Source` may carry a version (`gcc-12 (12.2.0)`) and is left out when equal."""
    name = stanza.get("Package", "")
    if not PACKAGE_NAME.fullmatch(name):
        raise InputError(f"{where}: a paragraph has the package name {name!r}; expected something like `libc6`")
    source = (stanza.get("Source") or name).split()[0]
    dependencies = [dependency for relation in RELATIONS for dependency in parse_relation(stanza.get(relation, ""))]
    return Package(name, source, tuple(dict.fromkeys(d for d in dependencies if d != name)))


def parse_relation(value: str) -> list[str]:
    """`libc6 (>= 2.36), default-mta | mail-transport-agent, python3:any` -> `[libc6, default-mta, python3]`.

    Of alternatives the first is taken: it is the one the maintainer prefers.
    """
    firsts = (re.match(PACKAGE_NAME, clause.split("|")[0].strip()) for clause in value.split(","))
    return [match.group() for match in firsts if match]


def resolve(package: Package, packages: dict[str, Package], providers: dict[str, set[str]]) -> Package:
    """Names the real package behind a virtual one (`r-api-4.0` -> `r-base-core`) where only one provides it."""

    def real(name: str) -> str:
        return next(iter(providers[name])) if name not in packages and len(providers.get(name, ())) == 1 else name

    names = dict.fromkeys(real(name) for name in package.dependencies)
    return Package(package.name, package.source, tuple(name for name in names if name != package.name))


def published(file: Path) -> str:
    """When the archive published this index (its Release file's `Date`), else when the file was last changed."""
    stem = re.sub(r"_[^_]+_binary-[^_]+_Packages.*$", "", file.name)
    for release in (file.with_name(stem + "_InRelease"), file.with_name(stem + "_Release")):
        if stem != file.name and release.is_file():
            text = release.read_text(encoding="utf-8", errors="replace")
            if date := re.search(r"^Date: *(.+)$", text, re.MULTILINE):
                return rfc3339(parsedate_to_datetime(date.group(1)))
    return rfc3339(datetime.fromtimestamp(file.stat().st_mtime, timezone.utc))


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the second; a moment without a zone is taken as UTC, as Debian's Release files mean it."""
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return zoned.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(index: Index, output: Path, sources: list[str]) -> None:
    """Writes the data file; the same index gives the same bytes (no time of writing in the gzip header)."""
    header = {"format": FORMAT, "packages": len(index.packages), "dataThrough": index.data_through, "sources": sources}
    with open(output, "wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
        packed.write(json.dumps(header).encode() + b"\n")
        for p in index.packages:
            line = {"package": p.name, "source": p.source, "dependencies": p.dependencies}
            packed.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def read(file: Path) -> Index:
    """Reads a data file and checks that it is whole: the number of packages its first line promises."""
    rebuild = "build it with `python3 -m packages_recommender index --output FILE`"
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            header = json.loads(next(lines, "null"))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise InputError(f"{file} is not a data file of the format {FORMAT!r}: {rebuild}")
            packages = tuple(
                Package(line["package"], line["source"], tuple(line["dependencies"])) for line in map(json.loads, lines)
            )
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no data file {file}: name it with --data, or {rebuild}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the data file {file} is damaged ({type(error).__name__}: {error}): {rebuild}") from error
    if len(packages) != header.get("packages"):
        raise InputError(f"{file} promises {header.get('packages')} packages but has {len(packages)}: {rebuild}")
    return Index(packages, str(header.get("dataThrough", "")))

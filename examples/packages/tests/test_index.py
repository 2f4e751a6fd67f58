"""Apt's files -> the data file."""

import gzip
import lzma
import os

import pytest

from packages_recommender import index
from packages_recommender.errors import InputError

FLASK = """Package: python3-flask
Source: flask (2.2)
Depends: python3-click (>= 8.0), python3-importlib-metadata | python3 (>> 3.10),
 python3-jinja2 (>= 3.0), python3:any, python3-flask
Recommends: python3-click, python3-blinker
Description: micro web framework
"""


@pytest.mark.parametrize(
    "value, names",
    [
        ("", []),
        ("libc6", ["libc6"]),
        ("libc6 (>= 2.36), zlib1g (>= 1:1.1.4)", ["libc6", "zlib1g"]),
        ("default-mta | mail-transport-agent", ["default-mta"]),
        ("python3:any, libstdc++6", ["python3", "libstdc++6"]),
        ("foo [amd64] , bar <!nocheck>,", ["foo", "bar"]),
    ],
)
def test_a_relation_gives_first_alternatives_without_versions(value, names):
    assert index.parse_relation(value) == names


def test_a_package_has_each_dependency_once_and_never_itself(tmp_path):
    built = build(tmp_path, FLASK)
    assert built.packages == (
        index.Package(
            "python3-flask",
            "flask",
            (
                "python3-click",
                "python3-importlib-metadata",
                "python3-jinja2",
                "python3",
                "python3-blinker",
            ),
        ),
    )


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_indexes_are_read(tmp_path, suffix, pack):
    file = tmp_path / f"Packages{suffix}"
    file.write_bytes(pack(FLASK.encode()))
    assert index.build([file], tmp_path / "out").packages[0].name == "python3-flask"


def test_what_only_apt_can_decompress_is_left_to_apt(tmp_path, monkeypatch):
    helper = tmp_path / "apt-helper"
    helper.write_text('#!/bin/sh\n[ "$1" = cat-file ] && exec gzip -dc "$2"\n')
    os.chmod(helper, 0o755)
    monkeypatch.setattr(index, "APT_HELPER", str(helper))
    file = tmp_path / "Packages.lz4"
    file.write_bytes(gzip.compress(FLASK.encode()))
    assert index.build([file], tmp_path / "out").packages[0].name == "python3-flask"
    file.write_bytes(b"not compressed")
    with pytest.raises(InputError, match="Packages.lz4 cannot be decompressed"):
        index.build([file], tmp_path / "out")


def test_a_virtual_dependency_becomes_its_only_provider(tmp_path):
    built = build(
        tmp_path,
        (
            "Package: r-base-core\nProvides: r-api-4.0 (= 4), shell\n\nPackage: dash\nProvides: shell\n\n"
            "Package: r-cran-x\nDepends: r-api-4.0, r-base-core, shell\n"
        ),
    )
    assert built.packages[-1].dependencies == ("r-base-core", "shell"), "two packages provide shell: nobody knows which"


def test_a_later_index_overrides_an_earlier_one(tmp_path):
    first, second = tmp_path / "main", tmp_path / "security"
    first.write_text("Package: nginx\nDepends: old\n\nPackage: aa\n")
    second.write_text("Package: nginx\nDepends: new\n")
    built = index.build([first, second], tmp_path / "out")
    assert [(p.name, p.dependencies) for p in built.packages] == [("aa", ()), ("nginx", ("new",))]


def test_the_date_is_that_of_the_release_file(tmp_path):
    file = tmp_path / "deb.example_debian_dists_bookworm_main_binary-amd64_Packages"
    file.write_text(FLASK)
    os.utime(file, (0, 0))
    assert index.build([file], tmp_path / "out").data_through == "1970-01-01T00:00:00Z"
    (tmp_path / "deb.example_debian_dists_bookworm_InRelease").write_text(
        "Suite: x\nDate: Sat, 10 Feb 2024 11:07:25 UTC\n"
    )
    assert index.build([file], tmp_path / "out").data_through == "2024-02-10T11:07:25Z"


def test_the_same_index_gives_the_same_bytes_and_is_read_back(tmp_path):
    built = build(tmp_path, FLASK)
    first = (tmp_path / "out").read_bytes()
    assert build(tmp_path, FLASK) == built
    assert (tmp_path / "out").read_bytes() == first
    assert index.read(tmp_path / "out") == built


@pytest.mark.parametrize(
    "text, message",
    [
        ("Package: a1\nrubbish\n", "line 2: expected `Field: value`, found 'rubbish'"),
        ("Source: x\n", "package name ''"),
        ("Package: ../etc\n", "package name '../etc'"),
        ("", "no package in"),
    ],
)
def test_a_broken_index_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        build(tmp_path, text)


def test_a_truncated_compressed_index_is_refused(tmp_path):
    file = tmp_path / "Packages.gz"
    file.write_bytes(gzip.compress(FLASK.encode())[:-12])
    with pytest.raises(InputError, match="cannot be read as a package index"):
        index.build([file], tmp_path / "out")


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[: len(data) // 2], "is damaged"),
        (lambda data: b"rubbish", "is damaged"),
        (lambda data: gzip.compress(b""), "is not a data file of the format"),
        (lambda data: gzip.compress(b'{"format": "other/1"}\n'), "is not a data file of the format"),
        (
            lambda data: gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1])),
            "promises 1 packages but has 0",
        ),
        (lambda data: gzip.compress(gzip.decompress(data) + b'{"package": 1}\n'), "is damaged"),
    ],
)
def test_a_broken_data_file_is_refused(tmp_path, damage, message):
    build(tmp_path, FLASK)
    file = tmp_path / "out"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=message):
        index.read(file)


def test_a_missing_data_file_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="there is no data file .*packages_recommender index"):
        index.read(tmp_path / "none")


def build(folder, text: str) -> index.Index:
    (folder / "Packages").write_text(text)
    return index.build([folder / "Packages"], folder / "out")

"""`bench data export --to NAME.json`: metadata that fits the table beside it, which is read back as a selection."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest

from bench.cli import main


@pytest.fixture
def exported(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["data", "export", "digitslt", "--ir", "10", "--to", str(tmp_path / "subset.json")])
    assert caught.value.code == 0, capsys.readouterr().err
    return tmp_path / "subset.json"


def test_the_metadata_fits_the_table(exported):
    told, content = json.loads(exported.read_text()), exported.with_suffix(".csv").read_bytes()
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    (file,), (records,) = told["distribution"], told["recordSet"]
    assert file["contentUrl"] == "subset.csv"
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    header, *rows = csv.reader(content.decode().splitlines())
    assert [field["source"]["extract"]["column"] for field in records["field"]] == header
    for field, values in zip(records["field"], zip(*rows, strict=True), strict=True):
        whole = all(value.isdecimal() for value in values)
        assert whole or field["dataType"] == "sc:Text", field["name"]
        assert field["source"]["fileObject"] == {"@id": file["@id"]}
    assert rows[0][5] in told["description"]


def test_a_table_that_is_another_stays(exported, capsys):
    table, before = exported.with_suffix(".csv"), exported.read_bytes()
    words = ["data", "export", "digitslt", "--ir", "10", "--to", str(exported)]
    for text, code in ((None, 0), ("mine", 2)):
        if text:
            table.write_text(text)
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == code
    assert f"{table} would be overwritten; move it away" in capsys.readouterr().err
    assert (table.read_text(), exported.read_bytes()) == ("mine", before)


def test_the_table_is_read_back_as_a_selection(exported, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["data", "show", "digitslt", "--ir", "10", "--selection", f"file:{exported.with_suffix('.csv')}"])
    again = capsys.readouterr().out
    assert json.loads(exported.read_text())["name"].rpartition("-")[2] in again

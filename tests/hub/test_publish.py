"""A network published and evaluated again: the same counts, verified files, a card from the cell; folder and local hub.

The hub of these tests speaks as much of the real one's protocol as publishing and fetching small files takes: creating
a repository, one commit with the files inside it, and reading a file of a revision. It has no large-file storage and
asks for no token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.engine.cell import run_cell
from bench.engine.grid import Axes, expand
from bench.engine.life.settings import Settings
from bench.hub.bundle import MANIFEST, WEIGHTS
from bench.hub.hub import parse
from bench.judge.metrics import summarise
from bench.store.query import read_rows


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: name -> list of (commit, files)."""

    repositories: dict[str, list[tuple[str, dict[str, bytes]]]]
    damage: dict[str, bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.partition("?")[0].split("/")
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.repositories.setdefault(name, [])
            self.answer({"url": f"http://{self.headers['Host']}/{name}"})
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif parts[5] == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            given = [line["value"] for line in lines if line["key"] == "file"]
            name, commit = "/".join(parts[3:5]), hashlib.sha1(body).hexdigest()
            self.repositories[name].append((commit, {f["path"]: base64.b64decode(f["content"]) for f in given}))
            self.answer(
                {
                    "success": True,
                    "commitOid": commit,
                    "hookOutput": "",
                    "commitUrl": f"http://{self.headers['Host']}/{name}/commit/{commit}",
                }
            )

    def do_GET(self) -> None:
        owner, name, _, revision, file = self.path[1:].split("/", 4)
        commits = self.repositories.get(f"{owner}/{name}")
        if commits is None:
            return self.refuse("RepoNotFound")
        chosen = [c for c in commits if revision in ("main", c[0])]
        if not chosen:
            return self.refuse("RevisionNotFound")
        commit, files = chosen[-1]
        if file not in files:
            return self.refuse("EntryNotFound")
        body = self.damage.get(file, files[file])
        self.send_response(200)
        for key, value in (
            ("X-Repo-Commit", commit),
            ("ETag", f'"{hashlib.sha1(body).hexdigest()}"'),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        return None

    do_HEAD = do_GET  # noqa: N815 - the name is the base's

    def refuse(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    """A hub on this machine, and a client that knows no other."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface-hub is not installed")
    Hub.repositories, Hub.damage = {}, {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.delenv("BENCH_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trained cell, of a method whose network has another form at inference."""
    folder = tmp_path_factory.mktemp("runs")
    (task,) = expand(Axes(methods=("la-posthoc",), datasets=("digitslt",), attacks=("clean", "fgsm"), epochs=6))
    ended: list[Any] = []
    run_cell(task, Settings(results=folder), ended.append)
    assert ended[-1]["event"] == "done"
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    """Calls a verb: (exit code, stdout, stderr)."""

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([*map(str, words)])
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def published(store: Path, tmp_path: Path, call) -> Path:
    code, _, err = call("publish", "la-posthoc", "--results", store, "--to", tmp_path / "net")
    assert (code, err) == (0, "")
    return tmp_path / "net"


def numbers(root: Path) -> dict[str, list[int]]:
    """Attack -> correct images a class of the one cell of a store."""
    (table,) = root.glob("*/per_class.csv")
    rows = read_rows(table)
    return {a: rows[rows["attack"] == a].sort_values("class_index")["correct"].tolist() for a in ("clean", "fgsm")}


def evaluate(call, source: object, results: Path, *more: object) -> tuple[int, str, str]:
    return call(
        "evaluate", source, "--attacks", "clean,fgsm", "--results", results, "--device", "cpu", "--quiet", *more
    )


def test_from_a_folder_it_gives_the_same_counts(store, published, tmp_path, call):
    code, _, err = evaluate(call, published, tmp_path / "again", "--name", "mine")
    assert (code, err) == (0, "")
    assert numbers(tmp_path / "again") == numbers(store)


def test_the_card_says_what_the_cell_holds(store, published):
    card = (published / "README.md").read_text()
    (table,) = store.glob("*/per_class.csv")
    cell = json.loads((table.parent / "cell.json").read_text())
    for row in summarise(read_rows(table)).to_dict("records"):
        assert f"| {row['attack']} | {row['n']} | {100 * row['balanced']:.2f} |" in card
    for text in (
        cell["id"],
        cell["weights"],
        cell["data"]["data_hash"],
        "linf, radius 0.2",
        "- epochs: 6",
        "bench run --methods la-posthoc --datasets digitslt",
        "--epochs 6",
        "Reduced run",
        "small-class",
        "Weights: not stated",
        "- tau_p: 1.0",
    ):
        assert text in card, text
    clean = numbers(store)["clean"]
    assert f"| 0 | 110 | {cell['data']['test_counts']['long-tailed'][0]} | {clean[0]}, " in card


def test_the_licence_is_the_publisher_s(store, tmp_path, call):
    assert call("publish", "la-posthoc", "--results", store, "--to", tmp_path / "n", "--licence", "mit")[0] == 0
    assert "\nlicense: mit\n" in (tmp_path / "n" / "README.md").read_text()


@pytest.mark.parametrize("own", ["# My network\n", "", "edited"])
def test_a_card_of_the_user_s_own_stays(store, published, call, own):
    path = published / "README.md"
    mine = path.read_text().replace("## Licence", "## My licence") if own == "edited" else own
    path.write_text(mine)
    code, _, err = call("publish", "la-posthoc", "--results", store, "--to", published, "--licence", "mit")
    assert (code, path.read_text()) == (0, mine)
    assert f"README.md of {published} is not as it was published, so it stays" in err


def test_a_card_that_was_not_edited_is_renewed(store, published, call):
    code, _, err = call("publish", "la-posthoc", "--results", store, "--to", published, "--licence", "mit")
    assert (code, err) == (0, "")
    assert "license: mit" in (published / "README.md").read_text()


def test_files_of_another_network_without_a_manifest_stay(store, published, call):
    (published / MANIFEST).unlink()
    assert call("publish", "la-posthoc", "--results", store, "--to", published)[0] == 0, "it was only not finished"
    (published / MANIFEST).unlink()
    (published / WEIGHTS).write_bytes(b"mine")
    code, _, err = call("publish", "la-posthoc", "--results", store, "--to", published)
    assert code == 2
    assert f"{published} holds a {WEIGHTS} that is not of this network; give another folder." in err
    assert (published / WEIGHTS).read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "is not the published one (SHA-256"),
        (lambda body: body[:-8], "bytes, not"),
        (lambda body: b"<!doctype html>", "has 15 bytes, not"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_computed(published, tmp_path, call, change, sentence):
    path = published / WEIGHTS
    path.write_bytes(change(path.read_bytes()))
    code, out, err = evaluate(call, published, tmp_path / "again")
    assert (code, out) == (1, "")
    assert f"{WEIGHTS} of" in err
    assert sentence in err
    assert not (tmp_path / "again").exists()


def test_a_manifest_that_is_none_is_one_sentence(published, tmp_path, call):
    whole = json.loads((published / MANIFEST).read_text())
    for wrong, sentence in (
        ([], "is no manifest"),
        (whole | {"format": 2}, "has format 2"),
        (whole | {"files": {}}, "does not name its files"),
        (whole | {"spec": whole["spec"] | {"method": "unheard-of"}}, "needs the method 'unheard-of'"),
    ):
        (published / MANIFEST).write_text(json.dumps(wrong))
        code, _, err = evaluate(call, published, tmp_path / "again")
        assert code > 0
        assert sentence in err
        assert err.count("\n") == 1


def test_other_classes_are_refused(published, tmp_path, call):
    code, _, err = evaluate(call, published, tmp_path / "again", "--datasets", "digitslt", "--model", "small-cnn")
    assert code == 2
    assert "says how its network is built" in err
    whole = json.loads((published / MANIFEST).read_text())
    (published / MANIFEST).write_text(json.dumps(whole | {"classes": whole["classes"][::-1]}))
    code, _, err = evaluate(call, published, tmp_path / "again")
    assert code == 2
    assert "classes apart that are not those of digitslt in their order" in err


def test_another_network_is_never_overwritten(published, store, call):
    before = (published / WEIGHTS).read_bytes()
    assert call("publish", "la-posthoc", "--results", store, "--to", published)[0] == 0
    whole = json.loads((published / MANIFEST).read_text())
    (published / MANIFEST).write_text(json.dumps(whole | {"weights": "0" * 16}))
    code, _, err = call("publish", "la-posthoc", "--results", store, "--to", published)
    assert code == 2
    assert "holds another network" in err
    assert (published / WEIGHTS).read_bytes() == before


def test_a_cell_without_weights_cannot_be_published(project, tmp_path, call):
    code, _, err = call(
        "publish", "at-digitslt-ir10", "--results", project / "results" / "golden", "--to", tmp_path / "n"
    )
    assert code == 1
    assert "holds no checkpoint, so there are no weights to publish" in err
    assert not (tmp_path / "n").exists()


def test_over_a_hub_it_gives_the_same_counts(store, tmp_path, hub, call):
    code, out, err = call("publish", "la-posthoc", "--results", store, "--to", "hf:someone/digits")
    assert code == 0, err
    ((commit, files),) = hub.repositories["someone/digits"]
    assert set(files) == {"README.md", "bench.json", "model.safetensors", "cell.json", "per_class.csv"}
    assert f"bench evaluate hf:someone/digits@{commit}" in out
    for source in ("hf:someone/digits", f"hf:someone/digits@{commit}"):
        assert evaluate(call, source, tmp_path / "again", "--name", "mine")[0] == 0
    (cell,) = (tmp_path / "again").glob("*/cell.json")
    assert json.loads(cell.read_text())["spec"]["model"] == f"hf:someone/digits@{commit}"
    assert numbers(tmp_path / "again") == numbers(store)


def test_what_a_hub_refuses_is_one_sentence(store, tmp_path, hub, call):
    assert call("publish", "la-posthoc", "--results", store, "--to", "hf:someone/digits")[0] == 0
    for source in ("hf:someone/nothing", "hf:someone/digits@" + "0" * 40):
        code, _, err = evaluate(call, source, tmp_path / "again")
        assert code == 1
        assert f"{source}: the hub did not do it (" in err
        assert err.count("\n") == 1
    _, files = hub.repositories["someone/digits"][0]
    hub.damage = {WEIGHTS: files[WEIGHTS][:-1] + b"\0\0"}
    code, _, err = evaluate(call, "hf:someone/digits", tmp_path / "again")
    assert code == 1
    assert "bytes, not" in err
    assert not (tmp_path / "again").exists()


def test_without_a_network_no_hub_is_asked(tmp_path, call):
    code, _, err = evaluate(call, "hf:someone/digits", tmp_path / "again")
    assert code == 2
    assert "BENCH_OFFLINE is set" in err


@pytest.mark.parametrize("text", ["hf:", "hf:alone", "hf:a/b/c", "hf:a/b@", "hf:../x y"])
def test_what_is_no_address_is_one_sentence(text, tmp_path, call):
    code, _, err = evaluate(call, text, tmp_path / "again")
    assert code == 2
    assert "write hf:OWNER/NAME or hf:OWNER/NAME@REVISION" in err


def test_an_address_has_a_revision_or_none():
    assert parse("hf:a/b.c-d") == ("a/b.c-d", None)
    assert parse("hf:a/b@refs/pr/1") == ("a/b", "refs/pr/1")

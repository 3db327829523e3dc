"""A Hub on the loopback interface for the real ``huggingface_hub`` client.

Serves what pushing and pulling a model needs: repositories, branches, tags, commits (NDJSON), LFS batch
and upload with the hash verified, file metadata, redirects to a "CDN" and byte ranges. It can be told
to fail. One instance is one empty Hub; state lives in memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN, OTHER_TOKEN = "hf_ada", "hf_bob"
USERS = {TOKEN: "ada", OTHER_TOKEN: "bob"}


@dataclass(frozen=True)
class Blob:
    """Content of a file; large ones are stored by their sha256, as LFS does."""

    data: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """The git object id."""
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def sha256(self) -> str:
        """The LFS object id."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Repo:
    """A model or a Space (its name begins with ``spaces/``): branches and tags name commits of files."""

    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, Blob]) -> str:
        """Makes ``files`` the state of a branch and returns the commit's id."""
        text = json.dumps([branch, len(self.commits), {path: blob.oid for path, blob in files.items()}])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha], self.branches[branch] = dict(files), sha
        return sha

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit id names."""
        sha = self.branches.get(revision) or self.tags.get(revision)
        return sha or (revision if revision in self.commits else None)


class FakeHub(ThreadingHTTPServer):
    """Use as a context manager; ``repos``, ``log`` and the failure lists are open to tests.

    Attributes:
        repos: repositories by ``user/name``.
        log: ``(method, path)`` of every request.
        failures: ``[method, path pattern, status, times]``; a matching request is answered by the status.
        short: path patterns of downloads that deliver only half of the bytes.
        cut: ``[path pattern, times]`` of downloads whose connection breaks half way.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.cdn_url = f"http://localhost:{self.server_address[1]}"  # another host: gets no token
        self.connections: list[socket.socket] = []
        self.lock = threading.RLock()
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.failures: list[list] = []
        self.short: list[str] = []
        self.cut: list[list] = []

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.connections:  # kept alive by the client, they would answer the next test
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, object]:
        """Remembers each connection."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def fail(self, method: str, path: str, status: int, times: int = 10**9) -> None:
        """Answers the next ``times`` requests that match with an error status."""
        self.failures.append([method, path, status, times])

    def requested(self, pattern: str) -> int:
        """How many requests had a path that matches."""
        return sum(fnmatch(path, pattern) for _, path in self.log)

    def add(self, repo_id: str, files: dict[str, bytes], *, branch: str = "main", **options) -> str:
        """Creates a repository directly, past the client."""
        repo = self.repos.setdefault(repo_id, Repo(**options))
        return repo.commit(
            branch, {p: Blob(d, p.endswith((".safetensors", ".bin"))) for p, d in files.items()}
        )

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    # -- plumbing -----------------------------------------------------------------------------------

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path).replace("/api/spaces/", "/api/models/spaces/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.log.append((self.command, path))
            for failure in self.server.failures:
                method, pattern, status, times = failure
                if times and method == self.command and fnmatch(path, pattern):
                    failure[3] -= 1
                    return self._error(status, "", "told to fail")
            for method, pattern, function in _ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method:
                    return function(self, body, **match.groupdict())
        self._error(404, "", f"no route for {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 names fixed by http.server

    def _send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), Content_Type="application/json")

    def _error(self, status: int, code: str, message: str) -> None:
        headers = {"X_Error_Message": message, "Content_Type": "application/json"}
        if code:
            headers["X_Error_Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), **headers)

    def _user(self) -> str | None:
        return USERS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def _repo(self, repo_id: str, *, write: bool = False) -> Repo | None:
        """The repository if the caller may use it; otherwise answers as the Hub does."""
        repo, user, owner = (
            self.server.repos.get(repo_id),
            self._user(),
            repo_id.removeprefix("spaces/").split("/")[0],
        )
        if repo is None or (repo.private and user != owner):
            self._error(401 if user is None else 404, "RepoNotFound", "Repository not found")
        elif repo.gated and user != owner:
            self._error(401 if user is None else 403, "GatedRepo", "Access to this model is restricted")
        elif write and user != owner:
            self._error(401 if user is None else 403, "", "You don't have the rights to write here")
        else:
            return repo
        return None

    def _commit(self, repo: Repo, revision: str) -> str | None:
        sha = repo.find(revision)
        if sha is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    # -- reading ------------------------------------------------------------------------------------

    def whoami(self, body: bytes) -> None:
        user = self._user()
        self._json({"name": user, "type": "user"}) if user else self._error(401, "", "Invalid credentials")

    def info(self, body: bytes, repo_id: str, revision: str | None = None) -> None:
        repo = self._repo(repo_id)
        sha = repo and self._commit(repo, revision or "main")
        if sha:
            siblings = [{"rfilename": path} for path in repo.commits[sha]]
            self._json(
                {"id": repo_id, "modelId": repo_id, "sha": sha, "private": repo.private, "siblings": siblings}
            )

    def tree(self, body: bytes, repo_id: str, revision: str) -> None:
        repo = self._repo(repo_id)
        sha = repo and self._commit(repo, revision)
        if sha:
            entries = []
            for path, blob in sorted(repo.commits[sha].items()):
                entry = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
                if blob.lfs:
                    entry["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 130}
                entries.append(entry)
            self._json(entries)

    def refs(self, body: bytes, repo_id: str) -> None:
        repo = self._repo(repo_id)
        if repo:
            refs = {
                key: [
                    {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha}
                    for name, sha in of.items()
                ]
                for key, kind, of in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags))
            }
            self._json(refs | {"converts": []})

    def resolve(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        repo = self._repo(repo_id)
        sha = repo and self._commit(repo, revision)
        if not sha:
            return
        blob = repo.commits[sha].get(path)
        if blob is None:
            self._error(404, "EntryNotFound", f"{path} does not exist")
        elif blob.lfs:
            self._send(
                302,
                Location=f"{self.server.cdn_url}/cdn/{repo_id}/{sha}/{path}",
                X_Repo_Commit=sha,
                X_Linked_Etag=f'"{blob.sha256}"',
                X_Linked_Size=str(len(blob.data)),
            )
        else:
            self._content(blob.data, path, X_Repo_Commit=sha, ETag=f'"{blob.oid}"')

    def cdn(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        blob = self.server.repos[repo_id].commits[revision][path]
        self._content(blob.data, path, ETag=f'"{blob.sha256}"')

    def _content(self, data: bytes, path: str, **headers: str) -> None:
        if any(fnmatch(path, pattern) for pattern in self.server.short) and self.command == "GET":
            data = data[: len(data) // 2]
        status, total = 200, len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start, end = int(asked[1]), int(asked[2] or total - 1)
            status, data = 206, data[start : end + 1]
            headers["Content_Range"] = f"bytes {start}-{end}/{total}"
        for cut in self.server.cut:
            if self.command == "GET" and cut[1] and fnmatch(path, cut[0]):
                cut[1] -= 1
                self._send(status, data[: len(data) // 2], Content_Length=str(len(data)), **headers)
                self.wfile.flush()
                self.close_connection = True
                return
        self._send(status, data, Accept_Ranges="bytes", Content_Length=str(len(data)), **headers)

    # -- writing ------------------------------------------------------------------------------------

    def create(self, body: bytes) -> None:
        asked, user = json.loads(body), self._user()
        owner = asked.get("organization") or user
        repo_id = ("spaces/" if asked.get("type") == "space" else "") + f"{owner}/{asked['name']}"
        if user is None:
            self._error(401, "", "Invalid username or password.")
        elif user != owner:
            self._error(403, "", "You don't have the rights to create a model under this namespace")
        elif repo_id in self.server.repos:
            self._json(
                {"error": "You already created this model repo", "url": f"{self.server.url}/{repo_id}"}, 409
            )
        else:
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            variables = {one["key"]: one["value"] for one in asked.get("variables", ())}
            self.server.repos[repo_id] = Repo(private=private, variables=variables)
            self.server.repos[repo_id].commit("main", {".gitattributes": Blob(b"", False)})
            self._json({"url": f"{self.server.url}/{repo_id}", "name": repo_id})

    def branch(self, body: bytes, repo_id: str, name: str) -> None:
        repo = self._repo(repo_id, write=True)
        if repo and name in repo.branches:
            self._error(409, "", "Reference already exists")
        elif repo:
            sha = self._commit(repo, json.loads(body or b"{}").get("startingPoint", "main"))
            if sha:
                repo.branches[name] = sha
                self._json({})

    def tag(self, body: bytes, repo_id: str, name: str) -> None:
        repo = self._repo(repo_id, write=True)
        sha = repo and self._commit(repo, name)
        if sha:
            repo.tags[json.loads(body)["tag"]] = sha
            self._json({})

    def validate(self, body: bytes) -> None:
        match = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        try:
            ok = match is not None and isinstance(yaml.safe_load(match[1]), dict)
        except yaml.YAMLError:
            ok = False
        answer = {"errors": [] if ok else [{"message": "invalid front matter"}], "warnings": []}
        self._json(answer, 200 if ok else 400)

    def preupload(self, body: bytes, repo_id: str, revision: str) -> None:
        repo = self._repo(repo_id, write=True)
        sha = repo and self._commit(repo, revision)
        if sha:
            files = []
            for item in json.loads(body)["files"]:
                mode = "lfs" if item["path"].endswith((".safetensors", ".bin", ".png")) else "regular"
                known = repo.commits[sha].get(item["path"])
                oid = known and (known.sha256 if known.lfs else known.oid)
                files.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            self._json({"files": files})

    def batch(self, body: bytes, repo_id: str) -> None:
        if not self._repo(repo_id, write=True):
            return
        objects = []
        for item in json.loads(body)["objects"]:
            actions = {
                "upload": {"href": f"{self.server.url}/lfs/{item['oid']}"},
                "verify": {"href": f"{self.server.url}/lfs-verify"},
            }
            known = item["oid"] in self.server.objects
            objects.append(item if known else item | {"actions": actions})
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._error(400, "", "the content does not have the announced sha256")
        else:
            self.server.objects[oid] = body
            self._send(200)

    def verify(self, body: bytes) -> None:
        asked = json.loads(body)
        ok = len(self.server.objects.get(asked["oid"], b"")) == asked["size"]
        self._json({}) if ok else self._error(404, "", "object not found")

    def commit(self, body: bytes, repo_id: str, revision: str) -> None:
        repo = self._repo(repo_id, write=True)
        parent = repo and self._commit(repo, revision)
        if not parent:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(repo.commits[parent])
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "header" and value.get("parentCommit", parent) != parent:
                return self._error(412, "", "A commit has happened since. Please refresh and try again.")
            if key == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), False)
            elif key == "lfsFile":
                files[value["path"]] = Blob(self.server.objects[value["oid"]], True)
            elif key == "deletedFile":
                del files[value["path"]]
        sha = repo.commit(revision, files)
        self._json(
            {"commitUrl": f"{self.server.url}/{repo_id}/commit/{sha}", "commitOid": sha, "success": True}
        )


_REPO = r"(?P<repo_id>(?:spaces/)?[^/]+/[^/]+)"
_ROUTES = (
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate),
    ("GET", rf"/api/models/{_REPO}", _Handler.info),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>.+)", _Handler.info),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)/?", _Handler.tree),
    ("GET", rf"/api/models/{_REPO}/refs", _Handler.refs),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<name>.+)", _Handler.branch),
    ("POST", rf"/api/models/{_REPO}/tag/(?P<name>.+)", _Handler.tag),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("POST", r"/lfs-verify", _Handler.verify),
    ("GET HEAD", rf"/cdn/{_REPO}/(?P<revision>[0-9a-f]{{40}})/(?P<path>.+)", _Handler.cdn),
    ("GET HEAD", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)

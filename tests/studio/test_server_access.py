"""Who may ask the studio: every rule of its door, by requests as they come over the wire."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from support.studio_server import Studio, running
from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.results.run_store import RunFolder
from zeropoint.studio.http.guard import MAX_BODY_BYTES, AccessGuard, AccessKeys

EVIL = "<img src=x onerror=alert(1)>"
ADDRESSES = {
    "/",
    "/static/{name:path}",
    "/report",
    "/report/file",
    "/learn",
    "/models/{model}",
    "/models/{model}/make",
    "/models/{model}/measure",
    "/models/{model}/map",
    "/models/{model}/weights",
    "/models/{model}/lab",
    "/models/{model}/walk",
    "/models/{model}/multiply",
    "/models/{model}/recipe",
    "/api/multiply",
    "/api/models/{model}",
    "/api/models/{model}/scan",
    "/api/models/{model}/tensors/{tensor}",
    "/api/models/{model}/tensors/{tensor}/outliers",
    "/api/models/{model}/tensors/{tensor}/block",
    "/chat",
    "/measure",
    "/compare",
    "/long-run",
    "/search",
    "/jobs",
    "/api/jobs",
    "/plan",
    "/speed",
    "/size",
}
ASKING = {
    "/api/jobs/start",
    "/api/jobs/{job}/cancel",
    "/api/chat",
    "/api/plan",
    "/api/speed",
    "/api/models/{model}/recipe",
    "/api/models/{model}/recipe/predict",
    "/api/models/{model}/tensors/{tensor}/ablate",
    "/api/models/{model}/tensors/{tensor}/product",
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    root = folder / "root"
    (root / "below").mkdir(parents=True)
    write_model(root / "tiny.gguf")
    write_evil(root / "below" / f"{EVIL}.gguf".replace("/", ""))
    write_model(folder / "secret.gguf")
    (root / "out.gguf").symlink_to(folder / "secret.gguf")
    (root / "zero.gguf").symlink_to("/dev/zero")
    (root / "folder.gguf").mkdir()
    os.mkfifo(root / "pipe.gguf")
    (root / ".hidden").mkdir()
    write_model(root / ".hidden" / "hidden.gguf")
    (root / "broken.gguf").write_bytes(b"GGUF" + b"\xff" * 40)
    run = RunFolder.start(root / "run", "quantize", {"source": [EVIL], "note": EVIL}, {"to": EVIL})
    run.save_table("tensors", [])
    run.finish({"output_bytes": 10, "source_bytes": 20, "bits_per_weight": 4.5, "recipe": EVIL})
    (root / "other").mkdir()
    (root / "other" / "run.json").write_text('{"schema": 1, "verb": ["\\ud800"], "results": 3}')
    damaged = RunFolder.start(root / "damaged", "measure", {"quant": [1]}, {})
    damaged.finish({"kl": "x", "verdict": 3})
    with running(root) as found:
        yield found


def write_evil(path: Path) -> None:
    """A model whose every word would do something if it were anything but text."""
    name = '<script>alert("1")</script>.weight'
    tensors = [NewTensor(name, (4, 64), FORMATS["F32"])]
    said = {"general.architecture": EVIL, "general.name": f"</script>{EVIL}", f"{EVIL}.k": "x'\">"}
    with create_checkpoint(path, tensors, said) as writer:
        writer.write(name, np.arange(256, dtype="<f4").view(np.uint8))


def filled(studio: Studio, path: str) -> str:
    """An address of the table, with names that there are."""
    names = {
        "{name:path}": "lib/dom.js",
        "{model}": studio.id_of("tiny.gguf"),
        "{tensor}": "0",
        "{job}": "1",
    }
    for name, value in names.items():
        path = path.replace(name, value)
    asking = ("/report", "/measure", "/compare", "/search")
    return path + (f"?run={studio.id_of('run', 'run')}" if path.startswith(asking) else "")


def test_every_address_is_known_to_this_test(studio: Studio) -> None:
    methods = {route.path: route.methods for route in studio.routes.table()}
    reading = {path: {"GET", "HEAD"} for path in ADDRESSES}
    assert methods == reading | {path: {"POST"} for path in ASKING}


@pytest.mark.parametrize("path", sorted(ASKING))
def test_what_makes_the_machine_work_has_the_same_door(studio: Studio, path: str) -> None:
    path = filled(studio, path)
    host, own, origin = ("Host", studio.host), studio.cookie, ("Origin", f"http://{studio.host}")
    for headers in (
        [host, origin],
        [host, own],
        [("Host", "evil.test"), own, origin],
        [host, own, ("Origin", "http://evil.test")],
        [host, own, origin, ("Sec-Fetch-Site", "same-site")],
        [host, ("Cookie", "zeropoint=1"), origin],
    ):
        assert studio.ask("POST", path, headers).status == 403
    assert studio.ask("POST", path, [host, own, origin]).status == (
        404 if "cancel" in path else 400
    )
    assert studio.get(path).status == 405


@pytest.mark.parametrize("path", sorted(ADDRESSES))
def test_every_address_has_the_same_door(studio: Studio, path: str) -> None:
    path = filled(studio, path)
    host, own = ("Host", studio.host), studio.cookie
    known = studio.get(path)
    # The only run here is none of measure or search, and the pages of those say so.
    other = path.startswith(("/measure", "/compare", "/search"))
    assert known.status == (422 if other else 200), known.body
    for headers in (
        [host],
        [("Host", "evil.test"), own],
        [host, own, ("Origin", "http://evil.test")],
        [host, own, ("Sec-Fetch-Site", "cross-site")],
    ):
        refused = studio.ask("GET", path, headers)
        assert refused.status == 403 and b"<" not in refused.body
        assert "access-control-allow-origin" not in refused.headers
    for answer in (known, refused):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    changing = studio.ask("POST", path, [host, own, ("Origin", f"http://{studio.host}")])
    assert changing.status == 405
    assert studio.ask("POST", path, [host, own]).status == 403


HOSTS = [
    "127.0.0.1", "localhost", "127.0.0.1:1", "localhost:80", "localhost.:P", "evil.test",
    "evil.test:P", "0.0.0.0:P", "[::1]:P", "[::]:P", "127.0.0.1.evil.test:P", "127.1:P",
    "2130706433:P", "0x7f.1:P", "127.0.0.2:P", "x@127.0.0.1:P", "127.0.0.1:P@evil.test",
    "127.0.0.1:0P", "127.0.0.1:P.", "foo.localhost:P", "127.0.0.1:P,evil.test",
    "[::ffff:127.0.0.1]:P", "localhost.localdomain:P", "",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_is_refused(studio: Studio, host: str) -> None:
    host = host.replace("P", str(studio.keys.port))
    assert studio.ask("GET", "/", [("Host", host), studio.cookie]).status in (400, 403)


def test_no_host_and_two_hosts_are_refused(studio: Studio) -> None:
    own = ("Host", studio.host)
    assert studio.ask("GET", "/", [studio.cookie], http="1.0").status == 403
    assert studio.ask("GET", "/", [studio.cookie]).status == 400
    assert studio.ask("GET", "/", [own, own, studio.cookie]).status == 400
    assert studio.ask("GET", "/", [own, ("Host", "evil.test"), studio.cookie]).status == 400
    by_name = ("Host", f"localhost:{studio.keys.port}")
    assert studio.ask("GET", "/", [by_name, studio.cookie]).status == 200


ORIGINS = [
    [("Origin", "null")], [("Origin", "http://evil.test")], [("Origin", "https://127.0.0.1:P")],
    [("Origin", "http://127.0.0.1")], [("Origin", "http://127.0.0.1:P.evil.test")],
    [("Origin", "http://localhost:1")], [("Origin", "http://127.0.0.1:P/")], [("Origin", "")],
    [("Origin", "http://127.0.0.1:P"), ("Origin", "http://evil.test")],
    [("Origin", "http://localhost:P")], [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")], [("Sec-Fetch-Site", "")], [("Sec-Fetch-Site", "none, x")],
    [("Origin", "http://127.0.0.1:P"), ("Sec-Fetch-Site", "cross-site")], [],
]  # fmt: skip


@pytest.mark.parametrize("headers", ORIGINS, ids=str)
def test_a_change_from_another_page_is_refused(
    studio: Studio, headers: list[tuple[str, str]]
) -> None:
    port = str(studio.keys.port)
    sent = [(name, value.replace("P", port)) for name, value in headers]
    answer = studio.ask("POST", "/", [("Host", studio.host), studio.cookie, *sent])
    assert answer.status == 403
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_cookies_that_are_not_the_cookie(studio: Studio) -> None:
    keys = studio.keys
    wrong = [
        "", f"{keys.cookie_name}=", f"{keys.cookie_name}={keys.cookie[:-1]}",
        f"{keys.cookie_name}={keys.cookie}x", f"{keys.cookie_name}={keys.token}",
        f"zeropoint-1={keys.cookie}", keys.cookie, f"x{keys.cookie_name}={keys.cookie}",
        f"{keys.cookie_name}=\xff\xfe",
    ]  # fmt: skip
    for value in wrong:
        answer = studio.ask("GET", "/", [("Host", studio.host), ("Cookie", value)])
        assert answer.status == 403, value
        assert keys.cookie.encode() not in answer.body and keys.token.encode() not in answer.body


def test_the_token_is_exchanged_for_the_cookie(studio: Studio) -> None:
    host = [("Host", studio.host)]
    answer = studio.ask("GET", f"/models/x/map?a=1&token={studio.keys.token}", host)
    assert (answer.status, answer.headers["location"]) == (303, "/models/x/map?a=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and studio.keys.token not in cookie
    value = cookie.split(";")[0]
    assert studio.ask("GET", "/", [*host, ("Cookie", value)]).status == 200
    out = studio.ask("GET", f"//evil.test/?token={studio.keys.token}", host)
    assert out.headers["location"] == "/evil.test/"
    for token in ("", "x", studio.keys.cookie, studio.keys.token[:-1], "%ff"):
        assert studio.ask("GET", f"/?token={token}", host).status == 403
    assert studio.ask("HEAD", f"/?token={studio.keys.token}", host).status == 403


PATHS = [
    "/../etc/passwd", "/static/../access.py", "/static/%2e%2e/access.py", "/static/..%2faccess.py",
    "/static/..%5caccess.py", "/static//etc/passwd", "/static/%00", "/static/entries/app.css%00.js",
    "/static/%c0%ae%c0%ae/access.py", "/static/entries/walk.html", "/static/", "/models/../map",
    "/models/%2e%2e/map", "/models//map", "/models/RUN/map", "/models/%5c%5chost%5cshare/map",
    "/models/SECRET/map", "/api/models/000000000000", "/api/models/tiny.gguf", "/api",
    "/report?run=../../secret", "/report?run=SECRET", "/report/file?run=MODEL", "//evil.test/",
    "http://evil.test/", "/models/MODEL/map/../../x", "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_lead_nowhere(studio: Studio, path: str) -> None:
    secret = quote(str(studio.root.parent / "secret.gguf"), safe="")
    path = path.replace("SECRET", secret).replace("MODEL", studio.id_of("tiny.gguf"))
    answer = studio.get(path.replace("RUN", studio.id_of("run", "run")))
    assert answer.status == 404
    assert b"root:" not in answer.body and b"import" not in answer.body


def test_only_models_below_the_root_are_listed(studio: Studio) -> None:
    listed = {entry.name for entry in studio.library._look().of("model")}
    assert listed == {"tiny.gguf", "broken.gguf", f"below/{EVIL}.gguf"}


def test_a_file_that_becomes_a_link_is_not_followed(studio: Studio) -> None:
    path = studio.root / "swapped.gguf"
    write_model(path)
    id = studio.id_of("swapped.gguf")
    studio.library._listing = studio.library._look()
    assert studio.get(f"/api/models/{id}").status == 200
    path.unlink()
    path.symlink_to(studio.root.parent / "secret.gguf")
    assert studio.get(f"/api/models/{id}").status == 404
    path.unlink()


PARAMETERS = [
    ("lab?tensor=-1", 400), ("lab?tensor=NaN", 400), ("lab?tensor=1e3", 400),
    ("lab?tensor=2147483648", 404), ("lab?tensor=9223372036854775808", 400),
    ("lab?tensor=" + "9" * 4000, 400), ("lab?tensor=%D9%A3", 400), ("lab?tensor=0x10", 400),
    ("lab?row=-1", 400), ("lab?row=2147483648", 400), ("lab?row=1.5", 400), ("lab?row=+1", 400),
    ("lab?column=100000", 400), ("walk?run=x", 404), ("walk?" + "run=x&" * 33, 400),
    ("lab?tensor=%00", 400), ("lab?tensor=[[[[[[", 400), ("lab?row=Infinity", 400),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status"), PARAMETERS, ids=lambda x: str(x)[:40])
def test_numbers_that_are_none(studio: Studio, words: str, status: int) -> None:
    assert studio.get(f"/models/{studio.id_of('tiny.gguf')}/{words}").status == status


def test_what_figures_ask_is_checked(studio: Studio) -> None:
    tensors = f"/api/models/{studio.id_of('tiny.gguf')}/tensors"
    vector = studio.routes.shelf.open(studio.root / "tiny.gguf").names.index("output_norm.weight")
    for words, status in (
        ("x", 400), ("-1", 400), ("1e9", 400), ("99999", 404), (str(vector), 404),
        ("0/block?row=99999999", 400), ("0/block?format=Q9", 422),
        ("0/block?format=" + "(a+)+" * 20, 400), ("0/block?format=INT4_SYM_G99999", 422),
    ):  # fmt: skip
        answer = studio.get(f"{tensors}/{words}")
        assert (words, answer.status) == (words, status)
        assert b'"error"' in answer.body
    broken = studio.get(f"/api/models/{studio.id_of('broken.gguf')}")
    assert broken.status == 422 and b"broken.gguf" in broken.body
    assert studio.get("/report").status == 400
    assert studio.get("/measure").status == 200, "it offers the runs"
    damaged = studio.get(f"/report?run={studio.id_of('damaged', 'run')}")
    assert damaged.status == 422 and b"damaged" in damaged.body


def test_what_is_too_large_is_refused(studio: Studio) -> None:
    own = [("Host", studio.host), studio.cookie]
    many = [(f"X-{i}", "1") for i in range(120)]
    assert studio.ask("GET", "/", [*own, *many]).status == 431
    assert studio.ask("GET", "/", [*own, ("X", "a" * (16 << 10))]).status == 431
    assert studio.ask("GET", "/", [*own, ("X", "a" * (1 << 20))]).status in (0, 400, 431)
    assert studio.ask("GET", "/" + "a" * (1 << 20), own).status in (0, 400, 431)
    origin = ("Origin", f"http://{studio.host}")
    for length, status in (
        (MAX_BODY_BYTES + 1, 413), ("9" * 19, 413), ("9" * 30, 400), (-1, 400), ("x", 400),
        ("1, 2", 400),
    ):  # fmt: skip
        answer = studio.ask("POST", "/", [*own, origin, ("Content-Length", str(length))])
        assert (length, answer.status) == (length, status)


CHAT = {"talk": "1", "text": "x", "tokens": 4, "seed": 0, "temperature": 0}
BODIES = [
    ("", 400), ("x", 400), ("[]", 400), ("1", 400), ("{", 400), ("[" * 100_000, 413),
    ('{"a":' * 200 + "1" + "}" * 200, 400), ({"tokens": -1}, 400), ({"tokens": 2**63}, 400),
    ({"tokens": "4"}, 400), ({"tokens": True}, 400), ({"tokens": 1.5}, 400), ({"seed": -1}, 400),
    ({"seed": 2**32}, 400), ({"temperature": float("nan")}, 400), ({"temperature": 1e9}, 400),
    ({"text": ""}, 400), ({"text": 1}, 400), ({"text": "x" * 100_001}, 400), ({"models": []}, 400),
    ({"models": ["x"]}, 404), ({"models": [1]}, 404), ({"models": "x"}, 400),
    ({"models": ["../x", "/etc/passwd"]}, 404), ({"talk": "x" * 65}, 400), ({"talk": []}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status"), BODIES, ids=lambda x: str(x)[:30])
def test_bodies_are_checked_word_by_word(studio: Studio, words: object, status: int) -> None:
    known = {**CHAT, "models": [studio.id_of("tiny.gguf")]}
    text = json.dumps({**known, **words}) if isinstance(words, dict) else str(words)
    assert studio.post("/api/chat", text.encode()).status == status


def test_a_body_without_a_length_ends_too(studio: Studio) -> None:
    origin = ("Origin", f"http://{studio.host}")
    head = [("Host", studio.host), studio.cookie, origin, ("Transfer-Encoding", "chunked")]
    body = (b"10000\r\n" + b"x" * (1 << 16) + b"\r\n") * 40 + b"0\r\n\r\n"
    assert studio.ask("POST", "/api/chat", head, body).status in (0, 413)


def test_a_body_that_never_ends_is_cut() -> None:
    keys = AccessKeys(1, "token", "cookie")
    sent: list[int] = []

    async def app(scope: object, receive: object, send: object) -> None:
        while (await receive())["more_body"]:  # type: ignore[operator]
            pass

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * (1 << 16), "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.extend([message["status"]] if "status" in message else [])  # type: ignore[list-item]

    headers = [(b"host", b"localhost:1"), (b"cookie", b"zeropoint-1=cookie"),
               (b"origin", b"http://localhost:1")]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    door = AccessGuard(app, keys)(scope, receive, send)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as other:  # the browser's tests keep a loop in this thread
        other.submit(asyncio.run, door).result()
    assert sent == [413]


def test_what_files_say_is_text(studio: Studio) -> None:
    """No page has a script, a style or a handler that the studio did not write."""
    evil = studio.id_of(f"below/{EVIL}.gguf")
    run = studio.id_of("run", "run")
    pages = ["/", f"/report?run={run}", f"/report/file?run={run}",
             *(f"/models/{evil}/{page}" for page in ("map", "weights", "lab", "walk"))]  # fmt: skip
    for path in pages:
        answer = studio.get(path)
        page = answer.body.decode()
        assert answer.status == 200
        assert "<img" not in page and "alert(1)>" not in page.replace("&gt;", "")
        if path.startswith("/report/file"):
            continue  # its own policy names the hash of its one script
        scripts = re.findall(r"<script([^>]*)>", page)
        assert all("src=" in words or "application/gzip" in words for words in scripts)
        assert not re.search(r"<[^>]+\s(on\w+|style)=", page)
    assert "&lt;img src=x" in studio.get("/").body.decode()

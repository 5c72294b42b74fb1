"""The web app as served: who is answered, what pages may load, the API, and other programs through /v1."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import openai
import psutil
import pytest
import schemathesis
from browser import run_py

from innercouncil.model.errors import UsageError
from innercouncil.store.workspace import Workspace
from innercouncil.web.app import serve
from tiny_model import build_tiny_model

PATHS = (
    "/",
    "/personas",
    "/personas/x",
    "/sessions",
    "/sessions/x",
    "/import",
    "/map",
    "/models",
    "/dashboard",
    "/dashboard/sessions",
    "/nowhere",
    "/static/app.css",
    "/api/status",
)
SHORT = {"answer_tokens": 40, "synthesis_tokens": 60}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served workspace with three personas and the tiny model."""
    home = tmp_path_factory.mktemp("served")
    model = build_tiny_model(home / "tiny.gguf", ending=4.5)
    with run_py(home / "data") as address:
        with httpx.Client(base_url=address) as client:
            settings = client.get("/api/models").json()["settings"] | {
                "worker": str(model),
                "lite": True,
                "context_tokens": 8192,
            }
            assert client.put("/api/models", json=settings).json()["backend"]["ready"]
            for name in ("Planner", "Doubter", "Maker"):
                assert (
                    client.post("/api/personas", json={"name": name, "system": f"You are the {name}."}).status_code
                    == 201
                )
        yield address


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, timeout=60) as opened:
        yield opened


def ask(client: httpx.Client, **body: object) -> dict[str, object]:
    """A whole session, watched to its end."""
    id_ = client.post("/api/sessions", json={"question": "What first?", "options": SHORT, **body}).json()["id"]
    return follow(client, id_)


def follow(client: httpx.Client, id_: str) -> dict[str, object]:
    names = [
        line[7:] for line in client.get(f"/api/sessions/{id_}/events").text.splitlines() if line.startswith("event: ")
    ]
    assert names[0] == "started"
    assert names[-1] == "finished"
    record: dict[str, object] = client.get(f"/api/sessions/{id_}").json()
    return record


# --- who is answered ---


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "", "localhost:1"])
def test_a_foreign_host_name_is_refused(client: httpx.Client, host: str) -> None:
    answer = client.get("/api/status", headers={"host": host})
    assert answer.status_code == 403
    assert "workspace" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_site_cannot_change_anything(client: httpx.Client, headers: dict[str, str]) -> None:
    before = client.get("/api/personas").json()
    assert client.post("/api/personas", json={"name": "Evil", "system": "x"}, headers=headers).status_code == 403
    assert client.get("/api/personas").json() == before


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_can_send_is_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post("/api/personas", content=b'{"name": "Evil", "system": "x"}', headers={"content-type": kind})
    assert answer.status_code == 400
    assert "Content-Type" in answer.json()["error"]


def test_every_answer_forbids_scripts_frames_and_guessing(client: httpx.Client) -> None:
    for path in PATHS:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if (
            tag == "style"
            or "style" in given
            or (tag == "script" and "src" not in given)
            or any(n.startswith("on") for n in given)
        ):
            self.problems.append(f"inline {tag} {given}")
        self.problems += [f"{tag} {v}" for n, v in attrs if n in ("src", "href") and v and not v.startswith(("/", "#"))]


def test_pages_have_nothing_inline_and_nothing_from_elsewhere(client: httpx.Client) -> None:
    for path in PATHS[:9]:
        page = _Page()
        page.feed(client.get(path).text)
        assert page.problems == [], path


def test_it_listens_on_this_machine_only(base: str) -> None:
    port = int(base.rpartition(":")[2])
    heard = [
        c.laddr.ip for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    ]
    assert heard == ["127.0.0.1"]


def test_a_taken_port_is_told(base: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--port"):
        serve(Workspace(tmp_path), port=int(base.rpartition(":")[2]))


def test_files_outside_the_static_folder_are_not_served(client: httpx.Client) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404, path


def test_what_a_model_writes_becomes_harmless(client: httpx.Client) -> None:
    text = "<script>x</script> <img src=//e.example/a> [a](javascript:alert(1)) ![b](https://e.example/b.png) [ok](https://ok.example) **bold**"
    html = client.post("/api/markdown", json={"text": text}).json()["html"]
    assert "<strong>bold</strong>" in html
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_a_body_that_never_ends_is_cut_off(client: httpx.Client) -> None:
    answer = client.post(
        "/api/tokens", content=b'{"text": "' + b"a" * (9 << 20) + b'"}', headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413)


# --- the API ---


def test_a_session_through_the_api_is_voted_retried_replayed_exported_and_deleted(client: httpx.Client) -> None:
    record = ask(client)
    id_ = record["id"]
    assert record["status"] == "done"
    assert client.post(f"/api/sessions/{id_}/votes", json={"tiers": [[0, 1], [2]], "blind": True}).status_code == 201
    assert client.post(f"/api/sessions/{id_}/votes", json={"tiers": [[9]], "blind": True}).status_code == 400
    assert client.post(f"/api/sessions/{id_}/retry", json={"seat": 1}).status_code == 202
    assert follow(client, str(id_))["status"] == "done"
    replayed = client.post(f"/api/sessions/{id_}/replay", json={"personas": ["planner", "maker"]}).json()["id"]
    assert len(follow(client, replayed)["answers"]) == 2  # type: ignore[arg-type]
    found = client.get("/api/sessions", params={"query": "what first"}).json()["sessions"]
    assert found[0]["id"] == replayed
    data = client.get(f"/api/sessions/{id_}/export").content
    assert client.delete(f"/api/sessions/{id_}").status_code == 204
    assert client.get(f"/api/sessions/{id_}").status_code == 404
    sent = client.post("/api/sessions/import", content=data, headers={"content-type": "application/octet-stream"})
    assert sent.json()["id"] == id_


def test_leaving_the_page_does_not_stop_the_session(client: httpx.Client) -> None:
    id_ = client.post("/api/sessions", json={"question": "Left alone?", "options": SHORT}).json()["id"]
    with client.stream("GET", f"/api/sessions/{id_}/events") as stream:
        next(stream.iter_bytes())
    assert follow(client, id_)["status"] == "done"


def test_wrong_requests_get_one_sentence(client: httpx.Client) -> None:
    wrong = [
        client.post("/api/sessions", json={"question": " "}), client.post("/api/sessions", json={"question": "x", "personas": ["nobody"]}),
        client.post("/api/sessions", json={"question": "x", "options": {"rounds": 7}}), client.post("/api/sessions", json={"question": "x", "options": {"nonsense": 1}}),
        client.get("/api/personas/nobody"), client.get("/api/sessions?limit=x"), client.put("/api/models", json={"worker": "a b"}),
        client.post("/api/sessions", content=b"{", headers={"content-type": "application/json"}),
    ]  # fmt: skip
    for answer in wrong:
        assert 400 <= answer.status_code < 500, answer.request.url
        assert answer.json()["error"].endswith((".", "`"))


# --- other programs ---


@pytest.fixture
def program(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0, timeout=60) as opened:
        yield opened


def test_the_official_client_finds_the_council_and_each_persona(program: openai.OpenAI) -> None:
    assert [m.id for m in program.models.list()] == ["council", "planner", "doubter", "maker"]


def test_the_official_client_asks_a_persona_and_the_council(program: openai.OpenAI, client: httpx.Client) -> None:
    plain = program.chat.completions.create(
        model="planner", messages=[{"role": "user", "content": "Begin?"}], max_tokens=30, seed=1
    )
    assert plain.choices[0].message.content
    assert plain.usage is not None
    assert plain.usage.completion_tokens > 0
    before = client.get("/api/sessions").json()["total"]
    answer = program.chat.completions.create(
        model="council", max_tokens=60,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}, {"role": "user", "content": [{"type": "text", "text": "Three?"}]}],
    )  # fmt: skip
    kept = client.get("/api/sessions").json()
    assert kept["total"] == before + 1
    record = client.get(f"/api/sessions/{kept['sessions'][0]['id']}").json()
    assert record["council"]["question"] == "Three?"
    assert record["council"]["history"] == [{"question": "One?", "answer": "Two."}]
    final = next(s["text"] for s in record["syntheses"] if s["part"] == "council")
    assert (answer.choices[0].message.content or "").strip() == final


def test_the_official_client_streams_both(program: openai.OpenAI) -> None:
    for model in ("doubter", "council"):
        stream = program.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Stream?"}],
            max_tokens=60,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert len([c for c in chunks if c.choices and c.choices[0].delta.content]) > 1, model
        assert chunks[-1].usage is not None
        assert {c.choices[0].finish_reason for c in chunks if c.choices} <= {None, "stop", "length"}


def test_the_official_client_is_told_what_is_wrong(program: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody"):
        program.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError):
        program.chat.completions.create(model="council", messages=[])
    with pytest.raises(openai.BadRequestError, match="text"):
        program.chat.completions.create(
            model="council",
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
        )


def test_schemathesis_finds_no_crash_and_no_answer_that_is_not_documented(base: str) -> None:
    document = httpx.get(f"{base}/openapi.json").json()
    # What takes long or would change the models of the other tests is left to them.
    for path in ("/api/imports", "/api/sessions", "/api/models", "/api/models/pull", "/api/personas/{slug}/try"):
        for method in ("post", "put"):
            document["paths"].get(path, {}).pop(method, None)
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document)))
    schema.config.update(base_url=base)
    checked = 0
    from hypothesis import HealthCheck, Phase, given, settings

    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def fuzz(case: schemathesis.Case) -> None:
            nonlocal checked
            response = case.call(base_url=base)
            checked += 1
            assert response.status_code < 500 or response.status_code == 503, (
                f"{case.method} {case.path}: {response.status_code}"
            )
            case.validate_response(
                response,
                checks=[schemathesis.checks.not_a_server_error, *_conformance()] if response.status_code != 503 else [],
            )

        fuzz()
    assert checked > 300


def _conformance() -> list[object]:
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

    return [content_type_conformance, response_schema_conformance]


def test_a_model_helps_an_import_only_after_a_yes(tmp_path: Path, example: Path) -> None:
    model = str(build_tiny_model(tmp_path / "tiny.gguf"))

    def start(client: httpx.Client) -> str:
        given = {"filename": "conversations.json", "model": model, "budget": "8"}
        headers = {"content-type": "application/octet-stream"}
        answer = client.post("/api/imports", params=given, content=example.read_bytes(), headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()["job"]

    def wait(client: httpx.Client, job: str, field: str) -> dict[str, object]:
        for _ in range(600):
            now = client.get(f"/api/jobs/{job}").json()
            if now[field] or now["state"] != "running":
                return now
            time.sleep(0.1)
        raise AssertionError(now)

    with run_py(tmp_path / "data") as address, httpx.Client(base_url=address, timeout=60) as client:
        wrong = client.post(
            "/api/imports", params={"model": "a b"}, headers={"content-type": "application/octet-stream"}
        )
        assert wrong.status_code == 400
        job = start(client)
        assert "will be asked about" in str(wait(client, job, "question")["question"])
        assert client.post(f"/api/jobs/{job}/answer", json={"yes": False}).status_code == 204
        declined = wait(client, job, "problem")
        assert declined["state"] == "failed"
        assert "Nothing was asked" in str(declined["problem"])
        assert client.post(f"/api/jobs/{job}/answer", json={"yes": True}).status_code == 400
        job = start(client)
        wait(client, job, "question")
        client.post(f"/api/jobs/{job}/answer", json={"yes": True})
        wait(client, job, "problem")
        done = client.get(f"/api/jobs/{job}").json()
        assert done["state"] == "done", done
        assert "tokens read" in done["note"]
        assert len(client.get("/api/personas").json()["personas"]) == 4
        report = json.loads(Workspace(tmp_path / "data").model_labels_report.read_text("utf-8"))
        assert report["asked"] == 8


def test_an_open_question_does_not_keep_the_app_from_ending(tmp_path: Path, example: Path) -> None:
    model = str(build_tiny_model(tmp_path / "tiny.gguf"))
    with run_py(tmp_path / "data") as address, httpx.Client(base_url=address, timeout=60) as client:
        headers = {"content-type": "application/octet-stream"}
        given = {"filename": "c.json", "model": model, "budget": "4"}
        job = client.post("/api/imports", params=given, content=example.read_bytes(), headers=headers).json()["job"]
        for _ in range(600):
            if client.get(f"/api/jobs/{job}").json()["question"]:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("it never asked")

"""The council's commands as a person types them, with a real tiny model in the real llama.cpp."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from tiny_model import build_tiny_model

ROOT = Path(__file__).parent.parent.parent
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("INNERCOUNCIL_", "OLLAMA_", "ANTHROPIC_", "OPENAI_"))}
ENV |= {"OLLAMA_HOST": "127.0.0.1:9", "COLUMNS": "120"}
"""No Ollama, no keys: what the machine that tests happens to run is not part of the test."""
SHORT = ("--option", "answer_tokens=40", "--option", "synthesis_tokens=60")
Result = subprocess.CompletedProcess[str]


class Person:
    """Types commands in a workspace."""

    def __init__(self, workspace: Path, env: dict[str, str] | None = None) -> None:
        self.workspace, self.env = workspace, {**ENV, "OLLAMA_MODELS": str(workspace / "no-ollama"), **(env or {})}

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "innercouncil", *map(str, args), "--workspace", str(self.workspace)]

    def types(self, *args: object, stdin: str | None = None) -> Result:
        return subprocess.run(
            self.command(*args),
            capture_output=True,
            text=True,
            encoding="utf-8",
            input=stdin,
            check=False,
            env=self.env,
        )

    def json(self, *args: object) -> Any:
        result = self.types(*args)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def imports(self, *args: str, **more: Any) -> Result:
        command = [
            sys.executable,
            str(ROOT / "scripts" / "import_personas.py"),
            *args,
            "--workspace",
            str(self.workspace),
        ]
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=False, env=self.env, **more
        )


def one_sentence(result: Result, code: int, *says: str) -> None:
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert (result.returncode, len(errors)) == (code, 1), result.stderr
    assert "Traceback" not in result.stderr
    for words in says:
        assert words in result.stderr


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf", ending=4.5)


@pytest.fixture
def newcomer(discovered: tuple[object, Path], tmp_path: Path) -> Person:
    shutil.copytree(discovered[1], tmp_path / "data")
    return Person(tmp_path / "data")


@pytest.fixture(scope="module")
def seated(discovered: tuple[object, Path], tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Person:
    """Someone whose council has a model; tests may add sessions."""
    folder = tmp_path_factory.mktemp("seated") / "data"
    shutil.copytree(discovered[1], folder)
    person = Person(folder)
    assert person.types("models", "use", "--worker", tiny, "--lite", "--context", 8192).returncode == 0
    return person


@pytest.fixture(scope="module")
def asked(seated: Person) -> dict[str, Any]:
    slugs = [p["slug"] for p in seated.json("personas", "list", "--json")][:3]
    question = "Should the index be rebuilt every night?"
    seated.json("ask", "Another one before?", *SHORT, "--json")
    return seated.json("ask", question, "--personas", ",".join(slugs), "--baseline", "--json", *SHORT)


@pytest.mark.parametrize(
    "args",
    [
        ["ask"], ["serve"], ["doctor"], ["sessions"], ["models"],
        *(["sessions", c] for c in ["list", "show", "resume", "replay", "export", "import", "delete"]),
        *(["models", c] for c in ["list", "use", "pull", "allow", "key"]),
    ],
)  # fmt: skip
def test_help_shows_an_example(args: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "innercouncil", *args, "--help"], capture_output=True, text=True, check=True)  # fmt: skip
    assert "Example" in result.stdout


def test_the_session_as_json_holds_answers_ballots_tally_synthesis_and_baselines(asked: dict[str, Any]) -> None:
    assert asked["status"] == "done"
    council = [a for a in asked["answers"] if a["part"] == "council"]
    assert {a["seat"] for a in council} == {0, 1, 2}
    assert {b["voter"] for b in asked["ballots"] if b["part"] == "council"} == {0, 1, 2}
    assert {s["part"] for s in asked["syntheses"]} == {"council", "alone", "samples"}
    assert asked["council"]["worker_model"] == "tiny"


def test_stdout_is_the_final_answer_and_nothing_else(seated: Person, asked: dict[str, Any]) -> None:
    result = seated.types("ask", "-", "--follow", asked["id"][:8], *SHORT, stdin="And on Sundays?\n")
    assert result.returncode == 0, result.stderr
    kept = seated.json("sessions", "show", "last", "--json")
    assert result.stdout.strip() == kept["final"].strip() != ""
    assert kept["council"]["history"][0]["question"] == asked["council"]["question"]
    assert kept["parent"] == asked["id"]
    assert "They vote" in result.stderr
    assert "\x1b" not in result.stderr, "colours only on a terminal"


def test_sessions_are_found_shown_exported_deleted_and_brought_back(
    seated: Person, asked: dict[str, Any], tmp_path: Path
) -> None:
    found = seated.json("sessions", "list", "--search", "index rebuilt", "--json")
    assert asked["id"] in [s["id"] for s in found["sessions"]]
    assert seated.json("sessions", "list", "--search", "xylophone", "--json")["total"] == 0
    listed = seated.types("sessions", "list", "--search", "index")
    assert asked["id"][:8] in listed.stdout
    shown = seated.types("sessions", "show", asked["id"][:8])
    assert asked["council"]["question"] in shown.stdout
    assert "Baseline" in shown.stdout

    file = tmp_path / "session.json"
    assert seated.types("sessions", "export", asked["id"], "--output", file).returncode == 0
    assert seated.types("sessions", "export", asked["id"]).stdout.encode() == file.read_bytes()
    follow = seated.json("ask", "And then?", "--follow", asked["id"], "--json", *SHORT)
    kept = seated.types("sessions", "delete", asked["id"], stdin="n\n")
    assert "follow up on it and quote it" in kept.stderr
    assert kept.stderr.strip().endswith("Nothing deleted.")
    assert seated.types("sessions", "delete", asked["id"], "--yes").returncode == 0
    one_sentence(seated.types("sessions", "show", asked["id"]), 1)
    one_sentence(seated.types("sessions", "show", follow["id"]), 1)
    assert b"Should the index be rebuilt" not in (seated.workspace / "council.db").read_bytes()

    kept = seated.types("sessions", "import", file)
    assert kept.returncode == 0, kept.stderr
    again = seated.json("sessions", "list", "--search", "index rebuilt", "--json")
    assert again["total"] == 1
    back = seated.json("sessions", "show", again["sessions"][0]["id"], "--json")
    assert back["answers"] == asked["answers"]
    assert back["ballots"] == asked["ballots"]


def test_replay_asks_the_same_question_of_others(seated: Person) -> None:
    slugs = [p["slug"] for p in seated.json("personas", "list", "--json")]
    first = seated.json("ask", "What is missing?", "--personas", ",".join(slugs[:3]), "--json", *SHORT)
    again = seated.json("sessions", "replay", first["id"], "--personas", ",".join(slugs[1:4]), "--json")
    assert again["council"]["question"] == "What is missing?"
    assert [w["slug"] for w in again["council"]["workers"]] == slugs[1:4]
    assert again["council"]["options"] == first["council"]["options"]


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process there")
def test_ctrl_c_keeps_what_was_said_and_resume_goes_on(newcomer: Person, tiny: Path) -> None:
    endless = build_tiny_model(tiny.with_name("endless.gguf"), ending=-9.0, feed_forward=1 << 14)
    newcomer.types("models", "use", "--worker", endless, "--lite", "--context", 8192, "--slots", 1)
    command = newcomer.command("ask", "What now?", "--option", "answer_tokens=300", "--option", "synthesis_tokens=60")
    # A shell that runs the tests in the background lets its children ignore SIGINT; a person's shell does not.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=newcomer.env,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in this process
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = ""
        while " words" not in said:  # the first of the workers, who answer one after the other here, is done
            said = process.stderr.readline()
            assert said, "it ended early"
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "sessions resume" in rest
    assert "Traceback" not in rest
    assert psutil.wait_procs(children, timeout=20)[1] == []
    stopped = newcomer.json("sessions", "show", "last", "--json")
    assert stopped["status"] == "stopped"
    finished = [a for a in stopped["answers"] if "token limit" in a.get("problem", "")]
    assert finished
    resumed = newcomer.json("sessions", "resume", "last", "--json")
    assert resumed["status"] == "done"
    assert finished[0] in resumed["answers"], "what was finished is not asked again"


def test_without_any_model_the_sentence_says_how_to_get_one(newcomer: Person) -> None:
    one_sentence(
        newcomer.types("ask", "Anyone?"), 1, "qwen2.5:3b is not on this machine", "innercouncil models pull qwen2.5:3b"
    )
    result = newcomer.types("doctor")
    assert result.returncode == 1
    assert "KV cache" in result.stdout
    assert "models pull" in result.stdout
    assert newcomer.types("models", "list").returncode == 0


def test_doctor_shows_the_arithmetic_and_measures(seated: Person) -> None:
    lines = seated.json("doctor", "--measure", "--json")
    texts = " ".join(line["text"] for line in lines)
    assert not [line for line in lines if line["verdict"] == "bad"]
    assert "KV cache" in texts
    assert "tokens a second" in texts
    uses = seated.json("models", "list", "--json")
    assert uses["ready"]
    assert any(m["name"].endswith("tiny.gguf") for m in uses["models"]) or uses["uses"]["worker"].endswith("tiny.gguf")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["ask", "Well?", "--personas", "nobody,no-one,none"], 1, "nobody"),
        (["ask", "Well?", "--personas", ""], 2, ""),
        (["ask", "  "], 2, "question"),
        (["ask", "Well?", "--option", "seed"], 2, "NAME=VALUE"),
        (["ask", "Well?", "--option", "nonsense=1"], 2, "no option"),
        (["ask", "Well?", "--option", "answer_tokens=many"], 2, "answer_tokens"),
        (["ask", "Well?", "--option", "answer_tokens=1"], 2, "16 to 16384"),
        (["ask", "Well?", "--follow", "ffffffff"], 1, "ffffffff"),
        (["sessions", "show", "ffffffff"], 1, "ffffffff"),
        (["models", "use", "--worker", "two words"], 2, "is not a model"),
        (["models", "use", "--worker", "https://me:secret@example.com/v1#m"], 2, "Keys do not belong"),
        (["models", "pull", "../x"], 1, "not the name"),
        (["personas", "show", "nobody"], 1, "nobody"),
    ],
)
def test_bad_input_gets_one_sentence(seated: Person, args: list[str], code: int, says: str) -> None:
    one_sentence(seated.types(*args), code, says)


def test_a_broken_session_file_and_a_text_that_is_none_change_nothing(seated: Person, tmp_path: Path) -> None:
    before = seated.json("sessions", "list", "--json")["total"]
    for content in (b"", b"[]", b'{"id": 1}', b"\xff\xfe", b"[" * 100_000):
        file = tmp_path / "broken.json"
        file.write_bytes(content)
        one_sentence(seated.types("sessions", "import", file), 1)
    file.write_bytes(b"\xff\xfe\x00")
    one_sentence(seated.types("ask", "Well?", "--attach", file), 2, "not UTF-8")
    assert seated.json("sessions", "list", "--json")["total"] == before


def test_attachments_go_with_the_question(seated: Person, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("The walrus is blue.")
    record = seated.json("ask", "What colour?", "--attach", file, "--json", *SHORT)
    assert record["council"]["attachments"][0] == {"name": "notes.md", "text": "The walrus is blue."}


def test_a_taken_port_is_told(seated: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one_sentence(seated.types("serve", "--port", taken.getsockname()[1]), 2, "--port")


def test_a_model_that_is_not_there_is_kept_and_said_not_to_be_ready(newcomer: Person, tmp_path: Path) -> None:
    use = newcomer.types("models", "use", "--worker", tmp_path / "later.gguf", "--lite")
    assert use.returncode == 0
    assert use.stderr.startswith("Kept, but the council cannot be asked yet. There is no model file ")
    assert newcomer.json("models", "list", "--json")["uses"]["worker"] == str(tmp_path / "later.gguf")


def test_nothing_leaves_the_machine_without_consent(newcomer: Person) -> None:
    use = newcomer.types("models", "use", "--worker", "https://api.example.invalid/v1#big", "--lite")
    assert use.returncode == 0
    one_sentence(newcomer.types("ask", "Secret?"), 2, "innercouncil models allow api.example.invalid")
    newcomer.types("models", "allow", "api.example.invalid")
    allowed = newcomer.types("ask", "Secret?", *SHORT)
    assert "models allow" not in allowed.stderr, "now it is tried"
    assert allowed.returncode == 1
    newcomer.types("models", "allow", "api.example.invalid", "--revoke")
    one_sentence(newcomer.types("ask", "Secret?"), 2, "models allow")


def test_an_ollama_on_another_machine_needs_consent_too(newcomer: Person, tmp_path: Path) -> None:
    class Far(BaseHTTPRequestHandler):
        """An Ollama that claims to have the model, at an address of this machine that is not its loopback name."""

        asked: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            self.asked.append(self.path)
            details = {"format": "gguf", "family": "qwen2", "parameter_size": "3B", "quantization_level": "Q4_K_M"}
            model = {"name": "qwen2.5:3b", "model": "qwen2.5:3b", "size": 1, "digest": "0" * 64, "details": details,
                     "modified_at": "2026-01-01T00:00:00Z"}  # fmt: skip
            body = {"/api/version": {"version": "0.12.0"}, "/api/tags": {"models": [model]}}.get(self.path, {})
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *args: object) -> None:
            del args

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address this machine has on a network
        except OSError:
            pytest.skip("this machine has no network, so no address but its loopback")
        address = probe.getsockname()[0]
    with ThreadingHTTPServer((address, 0), Far) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        far = Person(newcomer.workspace, {"OLLAMA_HOST": f"http://{address}:{server.server_address[1]}"})
        far.types("models", "use", "--worker", "ollama:qwen2.5:3b", "--lite")
        one_sentence(far.types("ask", "Secret?"), 2, f"innercouncil models allow {address}")
        server.shutdown()
    assert "/api/tags" in Far.asked
    assert not {"/api/chat", "/api/generate"} & set(Far.asked), "nothing was sent"


def test_a_key_is_never_kept_in_the_workspace(newcomer: Person) -> None:
    secret = "sk-this-is-a-secret-0123456789"
    person = Person(newcomer.workspace, {"INNERCOUNCIL_API_KEY": secret})
    person.types("models", "use", "--worker", "http://127.0.0.1:9/v1#m", "--lite")
    result = person.types("ask", "Well?", *SHORT)
    assert secret not in result.stdout + result.stderr
    for file in person.workspace.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file.name


# --- scripts/import_personas.py ---


def newer(person: Person, slug: str) -> str:
    """Discovery writes another prompt for a persona, as a newer version of innercouncil would."""
    file = person.workspace / "personas" / "prompts" / "generated_prompts.json"
    data = json.loads(file.read_text("utf-8"))
    data[slug]["text"] += "- You like the new sentence.\n"
    file.write_text(json.dumps(data), "utf-8")
    return str(data[slug]["text"])


def seat_of(person: Person, slug: str) -> str:
    """The prompt a session would use."""
    script = (
        "import sys; from pathlib import Path; from innercouncil.store.cards import CardStore; "
        "from innercouncil.store.database import Database; "
        "sys.stdout.write(CardStore(Database(Path(sys.argv[1]))).get(sys.argv[2]).card.system)"
    )
    command = [sys.executable, "-c", script, str(person.workspace / "council.db"), slug]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout


def test_import_seats_the_personas_and_a_second_time_does_nothing(newcomer: Person) -> None:
    first = newcomer.imports()
    assert first.returncode == 0, first.stderr
    assert "software-builder" in first.stdout
    assert "Nothing to do" in newcomer.imports().stdout
    assert json.loads(newcomer.imports("--json").stdout)["created"] == []


def test_what_was_edited_stays_unless_the_person_says_otherwise(newcomer: Person) -> None:
    newcomer.imports()
    newcomer.types("personas", "edit", "software-builder", "--file", "-", stdin="My own words.\n")
    assert seat_of(newcomer, "software-builder").strip() == "My own words."
    fresh = newer(newcomer, "software-builder")
    result = newcomer.imports()
    assert result.returncode == 0
    assert "kept as you edited" in result.stdout
    assert seat_of(newcomer, "software-builder").strip() == "My own words."

    taken = newcomer.imports("--overwrite", "software-builder")
    assert "updated: software-builder" in taken.stdout
    assert seat_of(newcomer, "software-builder").strip() == fresh.strip()
    unknown = newcomer.imports("--overwrite", "nobody")
    one_sentence(unknown, 1, "nobody")


def test_what_was_not_edited_follows_discovery(newcomer: Person) -> None:
    newcomer.imports()
    fresh = newer(newcomer, "software-builder")
    assert "updated: software-builder" in newcomer.imports().stdout
    assert seat_of(newcomer, "software-builder").strip() == fresh.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals there")
@pytest.mark.parametrize(("says", "takes"), [("n", False), ("y", True)])
def test_at_a_terminal_it_shows_the_difference_and_asks(newcomer: Person, says: str, takes: bool) -> None:
    import pty

    newcomer.imports()
    newcomer.types("personas", "edit", "software-builder", "--file", "-", stdin="My own words.\n")
    fresh = newer(newcomer, "software-builder")
    ours, theirs = pty.openpty()
    os.write(ours, f"{says}\n".encode())
    result = newcomer.imports(stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert result.returncode == 0, result.stderr
    assert "You like the new sentence" in result.stdout
    expected = fresh if takes else "My own words."
    assert seat_of(newcomer, "software-builder").strip() == expected.strip()


def test_changes_of_discovered_personas_reach_the_council_and_back(newcomer: Person) -> None:
    newcomer.imports()
    newcomer.types("personas", "rename", "software-builder", "The Maker")
    script = (
        "import sys, json; from pathlib import Path; from innercouncil.store.cards import CardStore; "
        "from innercouncil.store.database import Database; "
        "print(json.dumps([p.card.name for p in CardStore(Database(Path(sys.argv[1]))).all()]))"
    )

    def names() -> list[str]:
        command = [sys.executable, "-c", script, str(newcomer.workspace / "council.db")]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert "The Maker" in names()
    assert "Software Builder" not in names()
    newcomer.types("personas", "undo")
    assert "Software Builder" in names()
    assert "The Maker" not in names()


def test_nothing_discovered_yet_is_told(tmp_path: Path) -> None:
    one_sentence(Person(tmp_path / "empty").imports(), 1, "innercouncil discover")

"""The council through /v1: another program gets the final answer that is kept, whatever became of the synthesizer's call."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from faulty_server import FaultyServer, beside
from innercouncil.app.council import House
from innercouncil.app.council_settings import CouncilSettings
from innercouncil.app.personas import create_persona
from innercouncil.model.card import PersonaCard
from innercouncil.store.workspace import Workspace
from innercouncil.web.app import build

REFUSED = "I'm sorry, but I can't help with that."


class Served:
    """The app, and the fault that the synthesizer meets."""

    def __init__(self, client: TestClient) -> None:
        self.client, self.fault = client, ""

    def ask(self, *, stream: bool) -> Any:
        messages = [{"role": "user", "content": "What first?"}]
        return self.client.post(
            "/v1/chat/completions", json={"model": "council", "messages": messages, "stream": stream}
        )

    def last(self) -> dict[str, Any]:
        """The newest session's record."""
        newest = self.client.get("/api/sessions").json()["sessions"][0]["id"]
        record: dict[str, Any] = self.client.get(f"/api/sessions/{newest}").json()
        return record


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    def plan(body: dict[str, Any]) -> str:
        return found.fault if "You write the final answer" in str(body["messages"][0]["content"]) else ""

    with beside(FaultyServer(0, plan=plan)) as server:
        house = House(Workspace(tmp_path))
        worker = f"http://127.0.0.1:{server.port}/v1#any"
        house.backends.change(CouncilSettings(worker=worker, lite=True, context_tokens=8192))
        for name in ("Planner", "Doubter", "Maker"):
            create_persona(house.cards, PersonaCard(name=name, system=f"You are the {name}."))
        house.database.close()
        with TestClient(build(house.workspace, port=5000), base_url="http://127.0.0.1:5000") as client:
            found = Served(client)
            yield found


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def streamed(text: str) -> str:
    return "".join(c["choices"][0]["delta"].get("content", "") for c in lines(text) if c.get("choices"))


@pytest.mark.parametrize("fault", ["", "empty", "refusal", "cut", "500"])
def test_a_whole_answer_is_the_one_that_is_kept(served: Served, fault: str) -> None:
    served.fault = fault
    answer = served.ask(stream=False)
    kept = served.last()["syntheses"][0]
    assert kept["text"].startswith("The answer of request ")
    assert answer.json()["choices"][0]["message"]["content"] == kept["text"]
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fault", "said"), [("", ""), ("empty", ""), ("500", ""), ("refusal", REFUSED), ("cut", "The answer")]
)
def test_a_streamed_answer_ends_with_the_one_that_is_kept_and_says_what_the_first_words_were(
    served: Served, fault: str, said: str
) -> None:
    served.fault = fault
    text = streamed(served.ask(stream=True).text)
    kept = served.last()["syntheses"][0]
    assert text.strip().endswith(kept["text"])
    if not said:
        assert text.strip() == kept["text"]
    else:
        assert text.startswith(said)
        assert text.endswith(f"\n\n{kept['problem']}\n\n{kept['text']}")


@pytest.mark.parametrize(("fault", "stream"), [("hang", False), ("hang", True), ("stall", True)])
def test_a_session_that_was_stopped_before_its_final_answer_is_an_error_and_no_empty_answer(
    served: Served, fault: str, stream: bool
) -> None:
    served.fault = fault
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask, stream=stream)
        while not (served.client.get("/api/sessions").json()["total"] and served.last()["tallies"]):
            time.sleep(0.02)
        if fault == "stall":
            time.sleep(0.5)  # so that most often the first half of the final answer has gone out
        assert served.client.post(f"/api/sessions/{served.last()['id']}/stop").status_code == 202
        answer = asked.result()
    begun = answer.status_code == 200
    error = lines(answer.text)[-1] if begun else answer.json()
    assert "stopped" in error["error"]["message"]
    assert fault == "stall" or not begun
    assert begun or 400 <= answer.status_code < 500, "clients ask again by themselves after a server's error"

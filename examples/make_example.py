"""Write examples/conversations.json: the chats of an invented person, in ChatGPT's export format.

    uv run python examples/make_example.py

Every sentence was written for this example. The person repairs and builds software for a small weather station, writes
a novel, runs a bakery's mailings, and helps a niece with mathematics. Same script, same bytes.
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path

HERE = Path(__file__).parent
START = 1_672_700_000.0
NAMESPACE = uuid.UUID("6f1c1f0e-4a5e-4f0f-9b63-0d6a5c1d7e11")

CODE = """```python
def read_sensor(port):
    raw = port.readline()
    return float(raw.decode().strip())
```"""
LOG = """```
Traceback (most recent call last):
  File "station.py", line 41, in <module>
    value = read_sensor(port)
ValueError: could not convert string to float: ''
```"""

SOFTWARE = [
    [
        f"my weather station script crashes after a few hours, why?\n\n{LOG}",
        "still crashes, but now only when the sensor is unplugged. how do i catch that without hiding real errors?",
        "ok that works. add a retry with three attempts and a pause of 2 seconds, no new dependency",
        "write a unit test for the retry, without real hardware",
    ],
    [
        "write a python function that averages the temperature per hour from a csv with the columns time and value",
        "it must not load the whole file, the csv has 4 GB",
        "you used pandas again, i said standard library only",
        "thanks, that runs in 40 seconds",
    ],
    [
        f"refactor this so that the port is closed even if reading fails\n\n{CODE}",
        "why is a context manager better here than try/finally?",
        "add type hints and a docstring",
    ],
    [
        "getting sqlite3.OperationalError: database is locked when the web page and the logger run together. what is the cause?",
        "if i turn on WAL, do i still need a timeout?",
        "show me the exact pragma lines and where they go",
    ],
    [
        "build a small flask page that shows the last 24 hours as a line chart, no javascript framework",
        "the chart is empty on mobile, the console says undefined is not an object. fix it",
        "add a button that switches between celsius and fahrenheit",
        "now write the systemd unit that starts it after boot",
    ],
    [
        "write a bash script that copies the database to my nas every night and keeps the last 14 copies",
        "it fails with permission denied on the mounted share, but works by hand. why only in cron?",
        "make it exit with 1 if the copy is smaller than the one before",
    ],
    [
        "my regex for the sensor line matches 'T=21.5' but not 'T=-3.0', what is wrong with it?",
        "extend it to humidity, same format with H=",
        "write three test cases for it, including a broken line",
    ],
    [
        "git says my branch and origin/main have diverged. which commands get me back to a clean state without losing my two commits?",
        "it reports a conflict in station.py, how do i see both versions side by side?",
        "ok done, thanks",
    ],
    [
        "implement a ring buffer for 1000 readings in micropython, memory is tight",
        "that allocates on every append. use a preallocated array and an index",
        "how many bytes does it need for 1000 floats?",
    ],
    [
        "the dockerfile builds on my laptop but on the raspberry pi pip fails to compile numpy. fix the build, do not switch the base image",
        "same error, here is the last line:\n\n```\nerror: command 'gcc' failed: No such file or directory\n```",
        "works now. make the image smaller",
    ],
    [
        "create an endpoint /api/latest that returns the newest reading as json and 503 if it is older than ten minutes",
        "add caching for 30 seconds but only for successful answers",
        "the test for the 503 fails because of the time zone, why?",
    ],
    [
        "convert this function to async without changing its signature for the callers\n\n" + CODE,
        "does that still work if two tasks read the same port?",
        "then add a lock, and keep it simple",
    ],
]
STORY = [
    [
        "Write the opening scene of a novel about a lighthouse keeper who finds letters addressed to her in the lamp room",
        "Rewrite it in the present tense and let the storm be heard before it is seen",
        "Write the next scene, in which her brother arrives on the supply boat and lies about why he came",
    ],
    [
        "Describe the harbour town in the voice of a tired customs officer, about 300 words",
        "Make it darker, with less sentiment and more smell of fish and diesel",
        "Write a short dialogue between him and the keeper, full of things neither of them says",
    ],
    [
        "Write a poem the keeper's mother could have left in the margins of the logbook, eight lines, no rhymes",
        "Now write the same poem as the keeper remembers it, with two mistakes",
    ],
    [
        "Tell the legend of the drowned bell as an old sailor would tell it to a child",
        "Write it again as a song with a chorus",
        "Continue the song with a verse in which the child answers",
    ],
    [
        "Write a scene in which the keeper reads the third letter and understands who wrote it. Slow, almost no action",
        "The ending is too neat, rewrite the last paragraph so that she burns the letter before she finishes it",
    ],
    [
        "Write a chase through the fog on the cliff path, short sentences, told by the brother",
        "Rewrite the chase from the point of view of the dog",
    ],
    [
        "Write the letter itself, the one she never reads to the end, signed only with an initial",
        "Make the handwriting part of the story: blots, a torn corner, a word crossed out",
    ],
    [
        "Write a monologue for the customs officer on the night he decides to look away",
        "Write the scene of the inquest, with the officer as the only witness, and let him be funny",
    ],
    [
        "Describe the lamp being lit for the last time, as if it were a person dying quietly",
        "Write an epilogue set forty years later, when a tourist finds the tin box under the floor",
        "Write a different epilogue, told as an entry in a museum catalogue",
    ],
    [
        "Write a fairy tale about a gull who wanted to be a lamp, for the keeper's niece",
        "Write a sequel in which the gull regrets it",
    ],
    [
        "Write the argument between the siblings in the kitchen, only dialogue, no names, one page",
        "Now the same argument in letters sent over ten years, each of them three sentences long",
    ],
    [
        "Write the scene in which the sea gives the boat back, with the crew's coffee still warm",
        "Write how the village talks about it the next morning, in one long sentence",
    ],
]
BUSINESS = [
    [
        "Could you please write a friendly newsletter for our bakery announcing the new rye bread, about 150 words?",
        "Thank you! Could you make the subject line shorter and mention that we open at 6:30?",
        "Great, thanks. Please write a version for Instagram with three hashtags",
    ],
    [
        "Please write an e-mail to our flour supplier asking for a better price, we buy 400 kg a month and have been customers for six years",
        "Could you make it a little firmer, without threatening to leave?",
    ],
    [
        "Could you suggest five names for a loyalty card for regular customers? It should sound warm, not like a bank",
        "Thank you, I like the second one. Please write the text that goes on the card",
    ],
    [
        "Please compare for me: should we offer delivery ourselves with a cargo bike or work with a delivery platform? We have two employees in the morning",
        "What would the platform cost us at 30 orders a week with an average order of 14 euros and 25 percent commission?",
        "Thank you, that helps. Could you write a short plan for a two-month trial with our own bike?",
    ],
    [
        "Could you please write a job advert for a baker, 30 hours, no night shifts, in a tone that does not promise too much?",
        "Please add that we pay above the tariff and that the team has lunch together",
    ],
    [
        "Please write an answer to this review: three stars, the customer liked the bread but waited ten minutes and found the staff unfriendly",
        "Could you make it more personal and offer nothing for free?",
    ],
    [
        "Could you help me plan the Christmas season? We need a list of products, when to announce what, and who does it",
        "Thank you. Please turn this into a schedule by week, starting in the middle of October",
    ],
    [
        "Please write a short speech for the tenth anniversary of the bakery, for customers and neighbours, with a thank you to my parents",
        "Could you shorten it to one minute and take out the joke about the oven?",
    ],
    [
        "Could you write product descriptions for our four cakes: walnut, plum, poppy seed and carrot? Two sentences each, for the website",
        "Please make the plum cake less sweet in its words",
    ],
    [
        "Please write a letter to the landlord: the heating in the shop has failed three times this month and we ask for a reduction of the rent",
        "Could you make it formal and name a date by which we expect an answer?",
    ],
    [
        "Could you please think about how we could win office customers for breakfast? Ideas with little effort first",
        "I like the tasting idea. Please write the flyer for it",
    ],
]
MATHS = [
    ["What is the probability of rolling at least one six with four dice?", "And with five dice, as a fraction?"],
    ["Solve x^2 - 5x + 6 = 0.", "Solve 2x^2 + 3x - 2 = 0 by completing the square."],
    [
        "Prove that the sum of three consecutive integers is divisible by 3.",
        "Is the same true for four consecutive integers and 4? Give a proof or a counterexample.",
    ],
    [
        "Find the derivative of f(x) = x^2 * sin(x).",
        "At which points between 0 and 2*pi is it zero? Approximate to two decimals.",
    ],
    [
        "A tank fills in 6 hours with one pump and in 4 hours with another. How long do both need together?",
        "How long if the second pump starts an hour later?",
    ],
    ["Compute the area of a triangle with sides 7, 8 and 9.", "What is the radius of its inscribed circle?"],
    [
        "How many ways are there to arrange the letters of BANANA?",
        "How many of them do not have two N next to each other?",
    ],
    ["Evaluate the integral of x * e^x from 0 to 1.", "Why does integration by parts work here and substitution not?"],
    [
        "Show that the square root of 2 is irrational.",
        "Does the same proof work for the square root of 4? Where does it break?",
    ],
    [
        "A bag holds 5 red and 3 blue marbles. Two are drawn without replacement. What is the probability that both are red?",
        "What is the expected number of red ones?",
    ],
    ["Determine all integers n for which n^2 + 3n is a prime number.", "What if n may be negative?"],
    [
        "A line passes through (1, 2) and (4, 11). Find its equation and where it crosses the x-axis.",
        "What is the distance of the point (0, 5) from this line?",
    ],
]
ANSWERS = {
    "software": "Here is the change. The cause is that the call returns nothing when the line is empty.\n\n```python\nwith open_port() as port:\n    value = parse(port.readline())\n```\n\nRun the test again after that.",
    "story": "The lamp turned as it had always turned, and for a moment the room belonged to no one. She put the letter back where she had found it and listened to the water take the stairs one by one.",
    "business": "Of course! Here is a draft you can use:\n\nDear customers,\nwe have something new in the oven, and we would like you to be the first to taste it.\n\nWarm regards,\nyour bakery",
    "maths": "Let us work step by step. Write down what is given, set up the equation, and solve it. Checking the result by substitution confirms it.",
}


def node(node_id: str, parent: str | None, message: dict[str, object] | None) -> dict[str, object]:
    """A node of a mapping tree."""
    return {"id": node_id, "message": message, "parent": parent, "children": []}


def message(message_id: str, role: str, text: str, at: float) -> dict[str, object]:
    """A visible text message."""
    return {
        "id": message_id, "author": {"role": role, "name": None, "metadata": {}}, "create_time": round(at, 3),
        "content": {"content_type": "text", "parts": [text]}, "status": "finished_successfully", "weight": 1.0,
        "metadata": {"model_slug": "gpt-4o"} if role == "assistant" else {}, "recipient": "all",
    }  # fmt: skip


def conversation(kind: str, number: int, questions: list[str], at: float) -> dict[str, object]:
    """One conversation; questions alternate with the kind's answer."""
    key = f"{kind}-{number}"
    mapping: dict[str, dict[str, object]] = {}
    parent: str | None = None
    for turn, text in enumerate([None, *(x for q in questions for x in (q, ANSWERS[kind]))]):
        node_id = str(uuid.uuid5(NAMESPACE, f"{key}/{turn}"))
        role = "user" if turn % 2 else "assistant"
        mapping[node_id] = node(node_id, parent, None if text is None else message(node_id, role, text, at + 60 * turn))
        if parent:
            mapping[parent]["children"].append(node_id)  # type: ignore[attr-defined]
        parent = node_id
    title = questions[0].split("\n")[0][:38]
    return {
        "title": title, "create_time": round(at, 3), "update_time": round(at + 60 * len(mapping), 3), "mapping": mapping,
        "current_node": parent, "conversation_id": str(uuid.uuid5(NAMESPACE, key)), "is_archived": False,
        "gizmo_id": None, "default_model_slug": "auto", "id": str(uuid.uuid5(NAMESPACE, key)),
    }  # fmt: skip


def main() -> None:
    """Write the example."""
    rng = random.Random(7)
    chats = [
        (k, i, q)
        for k, qs in (("software", SOFTWARE), ("story", STORY), ("business", BUSINESS), ("maths", MATHS))
        for i, q in enumerate(qs)
    ]
    rng.shuffle(chats)
    at, out = START, []
    hours = {"software": (19, 23), "story": (5, 8), "business": (9, 13), "maths": (15, 18)}
    for kind, number, questions in chats:
        at += rng.uniform(5, 25) * 86400
        day = at - at % 86400
        out.append(conversation(kind, number, questions, day + rng.uniform(*hours[kind]) * 3600))
    (HERE / "conversations.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

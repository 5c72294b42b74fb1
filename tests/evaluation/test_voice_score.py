"""The voice score: two ways of writing are told apart on conversations it did not see, and a single one is not."""

from __future__ import annotations

import random

import pytest

from innercouncil.evaluation.voice_score import TOLD, Heard, VoiceScore

OWN = [
    "nope, still broken",
    "cant we just drop it",
    "works now, ship it",
    "why so slow tho",
    "use the old one, thx",
    "no deps pls",
]
PLAIN = [
    "Certainly! It is important to consider the following aspects carefully.",
    "Additionally, you may wish to ensure that the configuration is correct.",
    "I would be happy to provide further assistance with this matter.",
    "Please note that there are several possible approaches available.",
    "In conclusion, the recommended solution offers numerous benefits.",
]


def heard(n: int, own: list[str], plain: list[str], *, start: int = 0) -> list[Heard]:
    rng = random.Random(start)
    return [
        Heard(f"conversation {start + i}", " ".join(rng.sample(own, 3)), " ".join(rng.sample(plain, 3)))
        for i in range(n)
    ]


def test_a_voice_is_told_on_conversations_that_were_not_seen():
    score = VoiceScore(heard(30, OWN, PLAIN))
    assert score.told(heard(20, OWN, PLAIN, start=100)) == 1.0
    assert score.gain("nope, cant ship it, too slow", PLAIN[0] + PLAIN[1], "new") > 0
    assert score.gain(PLAIN[2], "why so slow tho, drop it", "new") < 0


def test_where_there_is_no_difference_the_score_does_not_see_one():
    score = VoiceScore(heard(60, PLAIN, PLAIN))
    told = score.told(heard(60, PLAIN, PLAIN, start=100))
    assert told is not None
    assert told < TOLD


def test_length_alone_is_no_voice():
    """Where Burrows's Delta calls a text far because it is short."""
    score = VoiceScore(heard(30, OWN, PLAIN))
    assert score.gain("works now, ship it", " ".join(PLAIN), "new") > 0
    assert score.gain(" ".join(OWN), PLAIN[3], "new") > 0


def test_a_score_is_the_same_again_and_needs_messages():
    one, other = (VoiceScore(heard(30, OWN, PLAIN)).gain(OWN[0], PLAIN[0], "c") for _ in range(2))
    assert one == other
    with pytest.raises(ValueError, match="12 are needed"):
        VoiceScore(heard(5, OWN, PLAIN))
    assert VoiceScore(heard(30, OWN, PLAIN)).told(heard(2, OWN, PLAIN, start=50)) is None

"""Phrases a person uses more in one mode than in the others, from several conversations, none said twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from innercouncil.discovery.phrases import FUNCTION_WORDS, MAX_WORDS, PhraseCounter, grams_of

OTHERS = ("the weather is fine today", "tell a tale of the old sea", "bread needs salt and time", "a walk in the hills")


def counter_of(*groups: list[str]) -> PhraseCounter:
    """Each text is a conversation of its own."""
    counter = PhraseCounter(len(groups))
    conversation = 0
    for number, texts in enumerate(groups):
        for text in texts:
            counter.add(number, conversation, text)
            conversation += 1
    return counter


def others(count: int = 40) -> list[str]:
    return [OTHERS[i % len(OTHERS)] for i in range(count)]


def phrases_of(*texts: str, top: int = 10) -> list[str]:
    return [c.text for c in counter_of(list(texts), others()).contrast(0, top=top)]


def test_a_phrase_has_one_to_four_words():
    assert grams_of("a b c d e") == {
        "a", "b", "c", "d", "e", "a b", "b c", "c d", "d e", "a b c", "b c d", "c d e", "a b c d", "b c d e",
    }  # fmt: skip


def test_a_phrase_does_not_reach_over_the_end_of_a_sentence():
    assert "go stop" not in grams_of("Go. Stop")


def test_a_phrase_holds_no_number():
    assert grams_of("top 10 tips") == {"top", "tips"}


def test_curly_and_straight_apostrophes_are_one():
    assert grams_of("don’t") == grams_of("don't") == {"don't"}


@given(st.text(max_size=300))
def test_any_text_gives_short_lower_case_phrases(text):
    for gram in grams_of(text):
        assert 1 <= len(gram.split()) <= MAX_WORDS
        assert gram == gram.lower() or not gram.isascii()


def test_a_phrase_said_more_in_a_mode_than_elsewhere_is_found():
    texts = [f"make it idiomatic please, {w}" for w in ("red", "blue", "green", "grey", "pink", "black")]
    assert any("idiomatic" in p for p in phrases_of(*texts))


def test_a_phrase_as_frequent_elsewhere_is_not_told():
    texts = [f"bread needs salt and time {w}" for w in ("red", "blue", "green", "grey")]
    counter = counter_of(texts, ["bread needs salt and time"] * 4)
    assert counter.contrast(0, top=10) == []


def test_a_phrase_of_two_conversations_is_not_told():
    counter = PhraseCounter(2)
    for n in range(12):
        counter.add(0, n // 6, "make it idiomatic")
    for n, text in enumerate(others()):
        counter.add(1, 10 + n, text)
    assert counter.contrast(0, top=10) == []


def test_a_phrase_is_counted_once_a_message():
    counter = counter_of(["idiomatic, idiomatic, idiomatic"] * 4, others())
    (found,) = counter.contrast(0, top=5)
    assert (found.text, found.messages, found.conversations) == ("idiomatic", 4, 4)


def test_one_phrase_stands_for_its_longer_and_shorter_forms():
    found = phrases_of(*["make it idiomatic"] * 8)
    assert len(found) == 1


def test_function_words_alone_are_no_phrase():
    found = phrases_of(*["it is what you would"] * 8)
    assert all(len(p.split()) >= 3 or not set(p.split()) <= FUNCTION_WORDS for p in found)


def test_the_strongest_phrase_comes_first():
    often, seldom = ["quokka"] * 20, ["wombat"] * 5
    assert phrases_of(*often, *seldom) == ["quokka", "wombat"]


def test_no_more_phrases_than_asked_for_are_told():
    texts = ["quokka", "wombat", "numbat", "bandicoot"] * 6
    assert len(phrases_of(*texts, top=2)) == 2


def test_every_phrase_told_is_lifted():
    texts = [f"make it idiomatic, {o}" for o in others(8)]
    found = counter_of(texts, others()).contrast(0, top=10)
    assert found
    assert all(c.lift > 1.2 and c.z > 1.64 for c in found)


def test_a_mode_without_messages_has_no_phrases():
    assert counter_of([], others()).contrast(0, top=5) == []


def test_one_mode_alone_has_no_phrases_more_than_elsewhere():
    counter = counter_of(["make it idiomatic"] * 8)
    assert isinstance(counter.contrast(0, top=5), list)


@given(st.permutations(["quokka wombat", "wombat numbat", "numbat quokka", "quokka", "wombat"] * 3))
def test_the_order_of_messages_changes_nothing(texts):
    expected = counter_of(sorted(texts), others()).contrast(0, top=10)
    assert counter_of(list(texts), others()).contrast(0, top=10) == expected

"""Near-duplicates: the quick way finds what comparing every pair finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from innercouncil.model.duplicates import ALIKE, _jaccard, _shingles, repeats, words_of

SENTENCES = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "and", "ran"]), max_size=14).map(" ".join)


@given(st.lists(SENTENCES, max_size=25))
def test_it_agrees_with_comparing_every_pair(texts):
    firsts: list[int] = []
    for at, found in enumerate(repeats(texts)):
        alike = [f for f in firsts if _jaccard(_shingles(texts[at]), _shingles(texts[f])) >= ALIKE]
        assert found == (alike[0] if alike else None)
        if found is None:
            firsts.append(at)


def test_case_digits_and_spacing_do_not_tell_texts_apart():
    assert repeats(["Room 12 at 9:30,  please", "room 47 at 8:15 please", "another room"]) == [None, 0, None]


def test_signs_of_chinese_and_japanese_count_as_words():
    assert words_of("日本で一番 Fuji") == ["日", "本", "で", "一", "番", "fuji"]
    assert repeats(
        ["日本で一番高い山は何ですか教えてください", "日本で一番高い山は何ですか教えてください。", "東京"]
    ) == [None, 0, None]

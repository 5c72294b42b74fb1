"""Secrets and personal data are taken out of text; ordinary prose is left alone; the report never holds the text."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innercouncil.discovery.redaction import Redactor, given_names

PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
CASES = [
    ("e-mail", "Write to jane.doe+news@mail.example.co.uk today.", "jane.doe"),
    ("phone", "Call me at (415) 555-2671 tomorrow.", "2671"),
    ("phone", "Call me at +44 20 7946 0958 tomorrow.", "7946"),
    ("phone", "Ruf mich an: +49 30 901820.", "901820"),
    ("address", "I live at 221 Baker Street in town.", "Baker"),
    ("address", "Send it to 1600 Pennsylvania Avenue, Washington, DC 20500 please.", "20500"),
    ("address", "Ich wohne in der Hauptstraße 12, 10115 Berlin.", "Hauptstra"),
    ("secret", "key sk-proj-abcdefghijklmnopqrstuvwx1234567890ABCD here", "ijklmnop"),
    ("secret", "ghp_16C7e42F292c6912E7710c838347Ae178B4a is my token", "292c69"),
    ("secret", "AKIAIOSFODNN7EXAMPLE", "AKIA"),
    ("secret", "xoxb-123456789012-1234567890123-abcdefABCDEF123456789012", "abcdefABCDEF"),
    ("secret", f"Authorization: Bearer {JWT}", "dozjgNry"),
    ("secret", f"look:\n{PRIVATE_KEY}\nok?", "MIIBOgIB"),
    ("secret", "password = hunter2horse", "hunter2horse"),
    ("secret", "the password: 'c0rrect-horse'", "c0rrect"),
    ("secret", "OPENAI_API_KEY=abc123def456", "abc123def456"),
    ("number", "My card is 4111 1111 1111 1111.", "1111"),
    ("number", "My card is 5500-0000-0000-0004.", "5500"),
    ("number", "My card is 378282246310005.", "37828"),
    ("number", "Pay to DE89 3704 0044 0532 0130 00 please.", "3704"),
    ("number", "Pay to GB29NWBK60161331926819 please.", "NWBK"),
    ("number", "SSN 536-90-4399.", "4399"),
    ("URL", "open https://user:pw1234@example.com/x now", "pw1234"),
    ("URL", "open https://example.com/cb?code=abc&state=9 now", "state"),
    ("URL", "db at postgres://admin:letmein@db.example.com:5432/main now", "letmein"),
    ("URL", "share https://drive.example.com/d/1aBcDeFgHiJkLmNoPqRsTuVwXyZ now", "1aBcDeFg"),
    ("IP address", "ssh to 192.168.17.4 now", "192.168"),
    ("name", "My name is Zbigniew Wojcik.", "Zbigniew"),
    ("name", "Dear Mrs. Featherstonehaugh, thank you.", "Featherstone"),
    ("name", "I asked Jennifer about it.", "Jennifer"),
    ("name", "I met Patricia Hollingsworth there.", "Hollingsworth"),
    ("name", "That is Jennifer's book.", "Jennifer"),
]  # fmt: skip
ORDINARY = [
    "Write a python function that reads a csv file with 12 columns and 3500 rows.",
    "What happened in 1914, and why did it last until 1918?",
    "The meeting is on 2024-03-15 at 14:30, for about 90 minutes.",
    "Compute 12345 * 6789 = 83810205 and round it to 2 decimals.",
    "Use numpy 1.26.4 with Python 3.11 on Ubuntu 22.04.",
    "See https://docs.python.org/3/library/re.html for the details.",
    "def add(a, b):\n    return a + b",
    "The key to good bread is patience, and a token of love.",
    "My password policy: at least twelve characters.",
    "Will the Story of May begin in Paris? Grace and Hope are virtues.",
    "Hi there, hello everyone!",
    "Tell me about the Baker, the Street and the Road to Rome.",
    "The secret ingredient's name, and a token-by-token reading.",
    "The secret of the old castle was never told.",
    "Translate: Ich hätte gern ein Stück Kuchen mit Sahne.",
    "A ratio of 3:4 at 60% for $19.99, order #4521.",
    "internationalization_of_configuration_parameters",
]


def redact(text: str) -> tuple[str, Redactor]:
    redactor = Redactor()
    return redactor.redact(text, "m1"), redactor


@pytest.mark.parametrize(("kind", "text", "secret"), CASES)
def test_what_is_personal_is_taken_out(kind, text, secret):
    assert secret not in redact(text)[0]


@pytest.mark.parametrize(("kind", "text", "secret"), CASES)
def test_its_kind_stands_in_its_place(kind, text, secret):
    assert f"[{kind}]" in redact(text)[0]


@pytest.mark.parametrize(("kind", "text", "secret"), CASES)
def test_the_report_counts_its_kind_for_the_message(kind, text, secret):
    report = redact(text)[1].report()
    assert report.counts[kind] >= 1
    assert ("m1", kind, report.counts[kind]) in report.places


@pytest.mark.parametrize(("kind", "text", "secret"), CASES)
def test_the_report_never_holds_the_text(kind, text, secret):
    assert secret not in msgspec.json.encode(redact(text)[1].report()).decode()


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text):
    redacted, redactor = redact(text)
    assert redacted == text
    assert redactor.report().counts == {}


def test_the_words_around_stay():
    assert redact("Write to a@example.com, then rest.")[0] == "Write to [e-mail], then rest."


def test_several_finds_in_a_message_are_counted():
    redacted, redactor = redact("a@example.com and b@example.com")
    assert redacted == "[e-mail] and [e-mail]"
    assert redactor.report().counts == {"e-mail": 2}


def test_a_secret_said_twice_is_taken_out_twice():
    key = "AKIAIOSFODNN7EXAMPLE"
    assert key not in redact(f"{key} or again {key}")[0]


def test_counts_add_up_over_messages():
    redactor = Redactor()
    redactor.redact("a@example.com", "m1")
    redactor.redact("b@example.com", "m2")
    report = redactor.report()
    assert report.counts == {"e-mail": 2}
    assert report.places == (("m1", "e-mail", 1), ("m2", "e-mail", 1))


def test_the_report_does_not_depend_on_the_order_of_messages():
    reports = []
    for order in (("m1", "m2"), ("m2", "m1")):
        redactor = Redactor()
        for message in order:
            redactor.redact("a@example.com, call +44 20 7946 0958", message)
        reports.append(redactor.report())
    assert reports[0] == reports[1]


@pytest.mark.parametrize("number", ["4111 1111 1111 1112", "DE89 3704 0044 0532 0130 03"])
def test_a_number_with_wrong_check_digits_is_not_called_a_number_with_right_ones(number):
    assert redact(f"It is {number}.")[1].report().counts.get("number", 0) == 0


def test_names_that_are_common_words_are_not_names():
    assert not given_names() & {"will", "mark", "may", "grace", "hope", "paris"}


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_redacted(text):
    redacted, redactor = redact(text)
    assert (redacted == text) == (not redactor.report().counts)


@settings(max_examples=40, deadline=None)
@given(st.emails(domains=st.just("example.com")).filter(lambda e: e.split("@")[0].isalnum()))
def test_any_plain_address_of_mail_is_taken_out(address):
    assert address not in redact(f"Write to {address} today.")[0]

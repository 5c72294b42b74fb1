"""An API key goes to the host it is for: kept and forgotten in the keyring, and taken from the environment."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import keyring.errors
import pytest
from click.testing import CliRunner
from keyring.backend import KeyringBackend

from innercouncil.app.backends import HOST_VARIABLES, KEY_VARIABLE, find_key
from innercouncil.cli.main import cli


class Memory(KeyringBackend):
    """A keyring that ends with the test."""

    priority = 1  # type: ignore[assignment]  # the base class makes a property of it

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    for name in (KEY_VARIABLE, *HOST_VARIABLES.values()):
        monkeypatch.delenv(name, raising=False)
    before, ring = keyring.get_keyring(), Memory()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_a_key_for_one_host_goes_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "paid-for")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "paid-for-too")
    assert find_key("api.openai.com") == "paid-for"
    assert find_key("api.anthropic.com") == "paid-for-too"
    for host in ("gpu-box.lan", "api.openai.com.example.org", "192.0.2.2", ""):
        assert find_key(host) is None


def test_what_is_kept_for_a_host_comes_before_what_is_for_all(monkeypatch: pytest.MonkeyPatch, memory: Memory) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "for-all")
    assert CliRunner().invoke(cli, ["models", "key", "gpu-box.lan"], input="for-the-box\n").exit_code == 0
    assert find_key("gpu-box.lan") == "for-the-box"
    assert find_key("other.lan") == find_key("") == "for-all"


def test_a_key_can_be_taken_out_again(memory: Memory) -> None:
    memory.set_password("innercouncil", "gpu-box.lan", "secret-of-the-box")
    taken = CliRunner().invoke(cli, ["models", "key", "gpu-box.lan", "--delete"])
    assert (taken.exit_code, memory.kept) == (0, {})
    again = CliRunner().invoke(cli, ["models", "key", "gpu-box.lan", "--delete"])
    assert "holds no key for gpu-box.lan" in again.output
    assert "secret-of-the-box" not in taken.output + again.output


def test_a_system_without_a_keyring_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.backends.fail import Keyring

    from innercouncil.app.backends import forget_key, keep_key
    from innercouncil.model.errors import UsageError

    keyring.set_keyring(Keyring())
    with pytest.raises(UsageError, match="set INNERCOUNCIL_API_KEY instead"):
        keep_key("gpu-box.lan", "x")
    with pytest.raises(UsageError, match="no keyring"):
        forget_key("gpu-box.lan")
    monkeypatch.setenv(KEY_VARIABLE, "for-all")
    assert find_key("gpu-box.lan") == "for-all"

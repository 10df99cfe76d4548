"""The key of tokens: one is made where none is configured, once, and for its owner's eyes."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handlers.auth import Role
from server.config import BadSetting, read_config
from server.keys import KEY_FILE, kept_secret, open_tokens


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"

    secret = kept_secret(data_dir)

    assert kept_secret(data_dir) == secret
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == [KEY_FILE]


def test_processes_that_start_together_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(kept_secret, [tmp_path] * 32))

    assert len(secrets) == 1


def test_a_secret_that_was_damaged_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("short\n")

    with pytest.raises(BadSetting, match="remove it to have a new one made"):
        kept_secret(tmp_path)


@pytest.mark.parametrize("inside", [".", "data"])
def test_a_data_folder_that_is_a_file_stops_the_start_in_plain_words(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    data_dir = tmp_path / "file" / inside

    with pytest.raises(BadSetting) as refused:
        kept_secret(data_dir)

    assert str(refused.value) == (
        f"DATA_DIR: {data_dir} cannot be used (it is not a folder, nor in one); set it to a folder that this "
        "server may make and write in"
    )


def test_a_data_folder_that_takes_no_files_is_told_without_the_names_of_ours() -> None:
    with pytest.raises(BadSetting, match=r"^DATA_DIR: /proc cannot be used \([a-z ]+\); set it to a folder"):
        kept_secret(Path("/proc"))


def test_tokens_made_with_the_kept_secret_are_accepted_by_the_next_start(tmp_path: Path) -> None:
    config = read_config({"DATA_DIR": str(tmp_path)})

    token = open_tokens(config).mint("alice", Role.ADMIN, timedelta(hours=1))

    assert open_tokens(config).verify(token).user_id == "alice"


@pytest.mark.parametrize("inline", [True, False])
def test_a_public_key_is_taken_from_its_text_or_its_file(tmp_path: Path, inline: bool) -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    path = tmp_path / "key.pem"
    path.write_text(pem)
    value = pem.replace("\n", "\\n") if inline else str(path)

    tokens = open_tokens(read_config({"JWT_PUBLIC_KEY": value}))

    with pytest.raises(ValueError, match="signed elsewhere"):
        tokens.mint("alice", Role.USER, timedelta(hours=1))


@pytest.mark.parametrize("value", ["-----BEGIN nonsense", "/no/such/file.pem"])
def test_a_public_key_that_is_none_stops_the_start(value: str) -> None:
    with pytest.raises(BadSetting, match=r"^JWT_PUBLIC_KEY: "):
        open_tokens(read_config({"JWT_PUBLIC_KEY": value}))


def test_a_key_file_given_as_the_secret_stops_the_start() -> None:
    with pytest.raises(BadSetting, match=r"^JWT_SECRET: "):
        open_tokens(read_config({"JWT_SECRET": "-----BEGIN PUBLIC KEY-----"}))

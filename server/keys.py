"""The key that tokens are checked with: configured, or made once and kept in DATA_DIR."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from handlers.auth import Tokens
from server.config import BadSetting, Config

KEY_FILE = "jwt-secret"


def open_tokens(config: Config) -> Tokens:
    """The tokens this server accepts.

    Raises:
        BadSetting: the configured key cannot be used, or the one in DATA_DIR cannot be read or made.
    """
    if config.jwt_public_key is not None:
        try:
            return Tokens.with_public_key(_pem(config.jwt_public_key))
        except ValueError as error:
            raise BadSetting(f"JWT_PUBLIC_KEY: {error}") from error
    try:
        return Tokens(config.jwt_secret or kept_secret(config.data_dir))
    except ValueError as error:
        raise BadSetting(f"JWT_SECRET: {error}") from error


def _pem(value: str) -> str:
    if "-----BEGIN" in value:
        return value.replace("\\n", "\n")  # environment files often hold a key on one line
    try:
        return Path(value).read_text()
    except OSError as error:
        raise BadSetting(f"JWT_PUBLIC_KEY: it accepts a PEM text or a file that holds one: {error}") from error


def kept_secret(data_dir: Path) -> str:
    """The secret in *data_dir*, made at the first call; only its owner can read the file.

    Two processes that call this at once get the same secret: the file appears whole, and the first one stays.
    """
    path = data_dir / KEY_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise BadSetting(
            f"DATA_DIR: {data_dir} cannot be used ({_why(error)}); set it to a folder that this server may make and "
            "write in"
        ) from error
    if len(secret) < 32:
        raise BadSetting(f"DATA_DIR: {path} holds no usable secret; remove it to have a new one made")
    return secret


def _why(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "it is not a folder, nor in one"
    return (error.strerror or type(error).__name__).lower()


def _make(path: Path) -> None:
    draft = path.with_name(f".{KEY_FILE}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, this never replaces the secret another process has just made
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)

"""Where things are and with whose rights: read from the environment once, never hashed, never logged."""

from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.artifacts import digest_of
from components.errors import ConfigError
from components.ingest.addresses import secret_in
from components.secrets import SecretKey, read_or_make_key, write_key
from components.signing import (
    SigningKey,
    TrustedKeys,
    key_lines,
    read_or_make_signing_key,
    read_trusted_keys,
    write_line,
)
from components.store import Store

SIGNING_FILE = "signing.ed25519"
PUBLIC_FILE = "signing.pub"
OLD_SIGNING_FILE = "signing.key"
"""The HMAC key of homeroom 0.1: read where it is left, as its releases are checked with it."""


class Settings(BaseSettings):
    """Environment variables that begin with `HOMEROOM_`.

    S3 credentials, region and endpoint come from the usual `AWS_*` variables, which botocore reads itself; how long S3
    may take comes from `HOMEROOM_S3_*`, which `components/places/s3.py` reads where it asks S3.
    """

    model_config = SettingsConfigDict(env_prefix="HOMEROOM_", frozen=True)

    store: str = Field(default_factory=lambda: str(user_data_path("homeroom") / "store"))
    """HOMEROOM_STORE: a folder or an fsspec URL such as s3://bucket/prefix."""
    cache: Path = Field(default_factory=lambda: user_cache_path("homeroom"))
    """HOMEROOM_CACHE: verified local copies of a remote store's artifacts."""
    keys: Path = Field(default_factory=lambda: user_config_path("homeroom") / "keys")
    """HOMEROOM_KEYS: folder of the secret keys; made with mode 0700 and kept apart from the data."""
    overrides: Path = Field(default_factory=lambda: user_data_path("homeroom") / "overrides")
    """HOMEROOM_OVERRIDES: folder in which `homeroom serve` keeps teachers' overrides, one folder per application; it
    holds students' texts."""
    notify: str = ""
    """HOMEROOM_NOTIFY: a Prefect notification block, e.g. `slack-webhook/district`, that is told every outcome."""
    one_writer: bool = False
    """HOMEROOM_ONE_WRITER: 1 says that one process at a time writes into a store that ignores conditional writes."""
    train_limit: str | None = None
    """HOMEROOM_TRAIN_LIMIT: name of the limit at Prefect's server that each training takes a slot of; `homeroom up`
    makes it. Without it, trainings do not wait for each other."""
    run_timeout_s: float | None = Field(default=None, gt=0)
    """HOMEROOM_RUN_TIMEOUT_S: longest time of a run as a Prefect flow, in seconds; `homeroom up` sets it."""
    pseudonym_key: SecretStr | None = None
    """HOMEROOM_PSEUDONYM_KEY: hex; instead of a file in `keys`."""
    signing_key: SecretStr | None = None
    """HOMEROOM_SIGNING_KEY: hex; instead of a file in `keys`. The key that signs releases follows from it."""

    def __init__(self, **values: Any) -> None:  # Any: what pydantic takes
        try:
            super().__init__(**values)
        except ValidationError as error:
            # Not pydantic's own text, which quotes the value: it may hold a secret.
            found = [str(one["msg"]).removeprefix("Value error, ") for one in error.errors(include_url=False)]
            raise ConfigError(" ".join(found)) from None

    @field_validator("store", mode="before")
    @classmethod
    def _check_store(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip():
            raise ValueError(
                "HOMEROOM_STORE is empty, which would mean the current folder. Name a folder or a URL such as "
                "s3://bucket/prefix, or unset it."
            )
        if isinstance(value, str) and (secret := secret_in(value)) is not None:
            raise ValueError(f"HOMEROOM_STORE is {secret}.")
        return value

    @field_validator("cache", "keys", "overrides", mode="before")
    @classmethod
    def _as_place(cls, value: object, info: ValidationInfo) -> object:
        """Expand `~` and make the path absolute: keys that depend on the current folder make other pseudonyms."""
        if isinstance(value, str) and not value.strip():
            raise ValueError(
                f"HOMEROOM_{str(info.field_name).upper()} is empty, which would mean the current folder. Name a "
                "folder, or unset it."
            )
        return Path(value).expanduser().absolute() if isinstance(value, str | Path) else value

    def open_store(self) -> Store:
        """Open the artifact store."""
        return Store(self.store, cache=self.cache if "://" in self.store else None, one_writer=self.one_writer)

    def read_pseudonym_key(self) -> SecretKey:
        """Return the key of student pseudonyms, made on first use."""
        return self._key(self.pseudonym_key, "pseudonym")

    def read_signing_key(self) -> SigningKey:
        """Return the private key that signs releases, made on first use."""
        if self.signing_key is None:
            return read_or_make_signing_key(self.keys / SIGNING_FILE)
        return SigningKey.from_secret(self._given(self.signing_key, "signing"))

    def trusted_keys(self) -> TrustedKeys:
        """Return the keys that releases may be signed with.

        They are our own, those in `signing.pub` (on a machine that only serves, it is all there is; after a change of
        keys it lists the earlier ones too), and the HMAC key that an older homeroom left.
        """
        if self.signing_key is not None:
            given = self._given(self.signing_key, "signing")
            return TrustedKeys((SigningKey.from_secret(given).public,), (given,))
        public, old = self.keys / PUBLIC_FILE, self.keys / OLD_SIGNING_FILE
        own = () if public.exists() and not (self.keys / SIGNING_FILE).exists() else (self.read_signing_key().public,)
        listed = read_trusted_keys(public).public if public.exists() else ()
        return TrustedKeys(tuple(dict.fromkeys((*own, *listed))), read_trusted_keys(old).secret if old.exists() else ())

    def release_key_file(self) -> Path:
        """Return a file with the keys that releases may be signed with, for a server: no private key is in it.

        It holds an HMAC key as well where releases of an older homeroom may have to be served; then it has mode 0600.
        """
        keys, public = self.trusted_keys(), self.keys / PUBLIC_FILE
        if self.signing_key is None and public.exists() and read_trusted_keys(public) == keys:
            return public
        lines = key_lines(keys)
        path = self.keys / f"releases-{digest_of(list(lines))[:16]}.keys"
        write_line(path, *lines, mode=0o600 if keys.secret else 0o644)
        return path

    def approver_key_file(self, name: str) -> Path:
        """Return where an approver's private key is, if it is in the folder of keys."""
        return self.keys / f"approver-{name}.ed25519"

    def pseudonym_key_file(self) -> Path:
        """Return a file that holds the key of pseudonyms, likewise."""
        return self._file(self.read_pseudonym_key(), self.pseudonym_key, "pseudonym")

    def _file(self, key: SecretKey, given: SecretStr | None, name: str) -> Path:
        if given is None:
            return self.keys / f"{name}.key"
        path = self.keys / f"{name}-{key.id}.key"
        write_key(path, key)
        return path

    def _key(self, given: SecretStr | None, name: str) -> SecretKey:
        return read_or_make_key(self.keys / f"{name}.key") if given is None else self._given(given, name)

    def _given(self, given: SecretStr, name: str) -> SecretKey:
        try:
            return SecretKey(bytes.fromhex(given.get_secret_value()))
        except ValueError as error:
            raise ConfigError(
                f"HOMEROOM_{name.upper()}_KEY is no usable key: expected at least 32 hex digits. Make one with "
                "`openssl rand -hex 32`, or unset it to have a key file made."
            ) from error

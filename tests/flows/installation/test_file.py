"""`homeroom.toml`: what is read, what is refused, and that districts are apart."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from flows.installation.file import default_file, read_plan
from flows.installation.places import Installation, environment_of, resolve, server_environment, unheard, without_file
from flows.settings import Settings

TWO = """
[installation]
state = "state"
trainings = 2

[districts.north]
environment = "north.env"
runs = 3
memory_gib = 16.0
run_timeout_s = 7200.0

[districts.north.applications.knowledge_tracing]
data = ["logs/*.csv", "s3://north/logs"]
config = "small"
set = ["train.max_epochs=2"]
cron = "0 3 * * 1"
timezone = "Europe/Berlin"
port = 3000
host = "0.0.0.0"
workers = 2
access_keys = "north.json"

[districts.south]
store = "s3://south/homeroom"
keys = "/srv/south/keys"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "homeroom.toml").write_text(TWO)
    (tmp_path / "north.env").write_text("# S3\nAWS_ACCESS_KEY_ID=north-id\nAWS_SECRET_ACCESS_KEY='north-secret'\n\n")
    (tmp_path / "north.env").chmod(0o600)
    (tmp_path / "north.json").write_text("{}")
    return tmp_path


def read(folder: Path, text: str | None = None) -> Installation:
    path = folder / "homeroom.toml"
    if text is not None:
        path.write_text(text)
    return resolve(read_plan(path), path)


def test_paths_are_relative_to_the_file_and_left_out_ones_are_in_the_state_folder(folder: Path) -> None:
    found = read(folder)
    north, south = found.districts
    assert found.state == folder / "state"
    assert found.api_url == "http://127.0.0.1:4200/api"
    assert found.machine.trainings == 2
    assert (north.store, north.keys) == (
        str(folder / "state" / "districts" / "north" / "store"),
        folder / "state" / "districts" / "north" / "keys",
    )
    assert (south.store, south.keys) == ("s3://south/homeroom", Path("/srv/south/keys"))
    request = north.request("knowledge_tracing")
    assert request.data == (str(folder / "logs" / "*.csv"), "s3://north/logs")
    assert request.overrides == ("train.max_epochs=2",)
    assert (north.pool, north.deployment("knowledge_tracing")) == ("homeroom-north", "north-knowledge_tracing")


def test_a_district_s_processes_have_its_own_places_and_secrets_and_no_other_s(folder: Path) -> None:
    found = read(folder)
    outer = {
        "PATH": "/bin",
        "HOMEROOM_STORE": "/elsewhere",
        "HOMEROOM_PSEUDONYM_KEY": "00",
        "HOMEROOM_S3_READ_S": "9",
        "AWS_SECRET_ACCESS_KEY": "the-starter-s",
        "PREFECT_API_URL": "https://elsewhere/api",
        "PREFECT_API_AUTH_STRING": "admin:word",
    }
    north, south = (environment_of(found, one, outer) for one in found.districts)
    assert north["AWS_SECRET_ACCESS_KEY"] == "north-secret"
    assert not any(name.startswith("AWS_") for name in south)
    assert "HOMEROOM_PSEUDONYM_KEY" not in north | south
    for name in ("HOMEROOM_STORE", "HOMEROOM_KEYS", "HOMEROOM_CACHE", "HOMEROOM_OVERRIDES", "PREFECT_HOME"):
        assert north[name] != south[name]
        assert str(folder / "state" / "districts" / "north") not in south[name]
    for one in (north, south):
        assert one["PREFECT_API_URL"] == found.api_url
        assert one["PREFECT_API_AUTH_STRING"] == "admin:word"
        assert one["HOMEROOM_S3_READ_S"] == "9"
    assert (north["HOMEROOM_RUN_TIMEOUT_S"], south["HOMEROOM_RUN_TIMEOUT_S"]) == ("7200", "86400")
    server = server_environment(found, outer)
    assert not any(name.startswith(("AWS_", "HOMEROOM_")) for name in server)


def test_one_district_keeps_the_starter_s_rights_at_s3(tmp_path: Path) -> None:
    found = read(tmp_path, "[districts.only]\n")
    assert environment_of(found, found.districts[0], {"AWS_PROFILE": "school"})["AWS_PROFILE"] == "school"


def test_secrets_are_not_shown(folder: Path) -> None:
    assert "north-secret" not in repr(read(folder))


def test_a_machine_without_a_file_has_one_district_with_the_environment_s_places(tmp_path: Path) -> None:
    settings = Settings(pseudonym_key="ab" * 32)
    found = without_file(settings, {"knowledge_tracing": 3001}, tmp_path)
    [district] = found.districts
    variables = environment_of(found, district, {})
    assert variables["HOMEROOM_STORE"] == settings.store
    assert variables["HOMEROOM_KEYS"] == str(settings.keys)
    assert variables["HOMEROOM_PSEUDONYM_KEY"] == "ab" * 32
    assert district.applications["knowledge_tracing"].port == 3001
    outer = {
        "HOMEROOM_SERVE_KEYS": "/keys.json",
        "HOMEROOM_NOTIFY": "slack/a",
        "HOMEROOM_STORE": "/x",
        "PREFECT_HOME": "/y",
    }
    variables = environment_of(found, district, outer)
    assert (variables["HOMEROOM_SERVE_KEYS"], variables["HOMEROOM_NOTIFY"]) == ("/keys.json", "slack/a")
    assert variables["HOMEROOM_STORE"] == settings.store
    assert unheard(found, outer) == []


def test_variables_that_no_district_of_a_file_hears_of_are_named(tmp_path: Path) -> None:
    found = read(tmp_path, "[districts.only]\n")
    outer = {
        "HOMEROOM_SERVE_KEYS": "/keys.json",
        "HOMEROOM_NOTIFY": "slack/a",
        "HOMEROOM_S3_READ_S": "9",
        "PATH": "/bin",
    }
    assert unheard(found, outer) == ["HOMEROOM_NOTIFY", "HOMEROOM_SERVE_KEYS"]
    assert not {*unheard(found, outer)} & environment_of(found, found.districts[0], outer).keys()


def test_two_districts_make_other_pseudonyms_of_the_same_student(tmp_path: Path) -> None:
    found = read(tmp_path, "[districts.north]\n[districts.south]\n")
    made = []
    for one in found.districts:
        settings = Settings(store=one.store, keys=one.keys, cache=one.cache)
        settings.open_store().write_record("mine", {"district": one.name})
        made.append(settings.read_pseudonym_key())
    assert made[0].id != made[1].id
    stores = [Settings(store=one.store).open_store() for one in found.districts]
    assert [store.read_record("mine")["district"] for store in stores] == ["north", "south"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "districts: missing"),
        ("[districts]\n", "no district"),
        ("[districts.'North 1']\n", "districts.North 1"),
        ("[districts.n]\nstores = 'x'\n", "districts.n.stores: unknown key; did you mean 'store'?"),
        ("[districts.n]\nruns = 0\n", "runs = 0"),
        ("[districts.n]\nruns = 'many'\n", "expected a whole number"),
        ("[installation]\nprefect_port = 0\n[districts.n]\n", "prefect_port = 0"),
        ("[districts.n.applications.a]\ncron = '0 3 * * 1'\n", "cron is given, but no data"),
        ("[districts.n.applications.a]\nport = 3000\nhost = '0.0.0.0'\n", "can be reached from other machines"),
        ("[districts.n.applications.a]\nport = 3000\ntls_cert = 'c.pem'\n", "tls_cert and tls_key go together"),
        ("[districts.n.applications.a]\nwatch = true\n", "watch = true, but there is no port"),
        ("[districts.n]\nrun_timeout_s = 0.0\n", "run_timeout_s = 0"),
        ("[installation]\nprobe_s = 0.0\n[districts.n]\n", "probe_s = 0"),
        ("[installation]\nprobe_misses = -1\n[districts.n]\n", "probe_misses = -1"),
        ("[installation]\nprobe_start_s = -1.0\n[districts.n]\n", "probe_start_s = -1"),
        ("[districts.n\n", "no valid TOML"),
        ("[districts.n.applications.a]\nport = 3000\naccess_keys = 'none.json'\n", "there is no file"),
        ("[districts.n]\nenvironment = 'none.env'\n", "cannot be read as a text"),
        ("[districts.n]\nstore = 'x'\n[districts.m]\nstore = './x/'\n", "districts.m.store is"),
        ("[districts.n]\nkeys = 'x/keys'\n[districts.m]\nstore = 'x'\n", "which districts.n.keys shares"),
        ("[districts.n]\nstore = 's3://b/x'\n[districts.m]\nstore = 's3://b/x/y'\n", "which districts.n.store shares"),
        (
            "[districts.n.applications.a]\nport = 3000\n[districts.m.applications.a]\nport = 3000\n",
            "districts.n.applications.a.port, too",
        ),
        ("[districts.n.applications.a]\nport = 4200\n", "installation.prefect_port, too"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[districts.n]\naws_secret_access_key = 'wJalrXUtnFEMI'\n",
        "[districts.n.environment]\nAWS_SECRET_ACCESS_KEY = 'wJalrXUtnFEMI'\n",
        "[districts.n]\nkeys = 'AKIAIOSFODNN7EXAMPLE'\n",
        "[districts.n]\nstore = 's3://user:wJalrXUtnFEMI@bucket/x'\n",
        f"[districts.n]\nkeys = '{'ab' * 32}'\n",
        "[districts.n.applications.a]\ndata = ['https://h/x?X-Amz-Signature=wJalrXUtnFEMI']\n",
        "[districts.n]\nstore = wJalrXUtnFEMI\n",
    ],
)
def test_no_secret_may_be_in_it_and_none_is_repeated(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for secret in ("wJalrXUtnFEMI", "AKIAIOSFODNN7EXAMPLE", "ab" * 32):
        assert secret not in str(caught.value)


def test_an_environment_file_is_private_and_sets_nothing_that_the_file_says(folder: Path) -> None:
    (folder / "north.env").write_text("HOMEROOM_KEYS=/tmp\nno sign here\n")
    (folder / "north.env").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        read(folder)
    for said in ("chmod 600", "line 1", "HOMEROOM_KEYS, which homeroom.toml says", "line 2"):
        assert said in str(caught.value)


def test_the_file_of_the_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.chdir(folder)
    assert default_file() == folder / "homeroom.toml"
    (folder / "config" / "homeroom").mkdir(parents=True)
    (folder / "homeroom.toml").rename(folder / "config" / "homeroom" / "homeroom.toml")
    assert default_file() == folder / "config" / "homeroom" / "homeroom.toml"

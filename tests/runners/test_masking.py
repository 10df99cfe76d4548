from __future__ import annotations

import pytest

from scheduler.masking import hidden, hiding, masked, merged, secrets_in
from store.errors import Invalid
from store.records import JSON, JSONObject

STORED: JSONObject = {
    "url": "https://crm.example.com/run",
    "apiKey": "sk-1234",
    "db": {"host": "db", "PASSWORD": "hunter22"},
    "accounts": [{"name": "a", "token": "token-a"}, {"name": "b", "token": "token-b"}],
    "clientSecrets": {"one": "1111", "two": ["2222"]},
    "headers": {"X-Team": "sales", "Authorization": "Bearer abcdefghij"},
}
SHOWN: JSONObject = {
    "url": "https://crm.example.com/run",
    "apiKey": "***",
    "db": {"host": "db", "PASSWORD": "***"},
    "accounts": [{"name": "a", "token": "***"}, {"name": "b", "token": "***"}],
    "clientSecrets": "***",
    "headers": {"X-Team": "sales", "Authorization": "***"},
}


def test_values_under_secret_keys_are_masked_at_any_depth_and_the_original_keeps_them() -> None:
    assert masked(STORED) == SHOWN
    assert STORED["apiKey"] == "sk-1234"


@pytest.mark.parametrize("key", ["password", "dbPassword", "SECRET", "access_token", "Keys", "monkey"])
def test_a_key_is_secret_when_its_name_holds_one_of_the_words_in_any_case(key: str) -> None:
    assert masked({key: {"deep": 1}}) == {key: "***"}


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}])
def test_an_empty_secret_is_masked_too_since_its_emptiness_would_tell(value: JSON) -> None:
    assert masked({"token": value}) == {"token": "***"}


def test_a_mask_sent_back_keeps_what_is_stored_and_all_else_is_as_sent() -> None:
    patch: JSONObject = {**SHOWN, "db": {"host": "other", "PASSWORD": "***"}, "new": 1}

    assert merged(patch, STORED) == {**STORED, "db": {"host": "other", "PASSWORD": "hunter22"}, "new": 1}


def test_a_mask_where_nothing_is_stored_is_refused_by_its_path() -> None:
    with pytest.raises(Invalid, match=r"configuration\.db\.token") as refused:
        merged({"db": {"token": "***"}}, {"db": {"host": "db"}})

    assert refused.value.field == "configuration.db.token"


def test_three_stars_under_an_ordinary_key_are_three_stars() -> None:
    assert merged({"rating": "***"}, {}) == {"rating": "***"}


def test_an_entry_of_a_list_keeps_its_secret_when_another_is_removed_before_it() -> None:
    patch: JSONObject = {"accounts": [{"name": "b", "token": "***"}]}

    assert merged(patch, STORED | {"url": None})["accounts"] == [{"name": "b", "token": "token-b"}]


def test_an_entry_that_cannot_be_told_apart_after_a_removal_has_to_bring_its_secret() -> None:
    with pytest.raises(Invalid, match=r"configuration\.accounts\.0\.token"):
        merged({"accounts": [{"name": "c", "token": "***"}]}, {"accounts": STORED["accounts"]})


@pytest.mark.parametrize("url", ["https://elsewhere.example.com/run", "http://crm.example.com/run", None])
def test_stored_secrets_do_not_go_along_to_another_host(url: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        merged({**SHOWN, "url": url}, STORED)

    assert refused.value.field == "configuration.url"


def test_stored_secrets_stay_when_only_the_path_of_the_url_changes() -> None:
    assert merged({**SHOWN, "url": "https://crm.example.com/v2"}, STORED)["apiKey"] == "sk-1234"


def test_secrets_are_hidden_in_texts_as_they_are_and_as_json_escapes_them() -> None:
    hide = hiding(secrets_in({"password": 'say "ä"', "token": 12345678}))

    assert hide('it is say "ä" or say \\"\\u00e4\\" or 12345678') == "it is *** or *** or ***"


def test_the_bare_credential_of_a_header_is_hidden_too() -> None:
    hide = hiding(secrets_in({"headers": {"Authorization": "Bearer abcdefghij"}}))

    assert hide("got abcdefghij and Bearer abcdefghij") == "got *** and ***"


def test_nothing_of_the_longer_of_two_overlapping_secrets_stays() -> None:
    assert hiding({"abcd", "abcdefgh"})("abcdefgh abcd") == "*** ***"


def test_texts_too_short_to_protect_anything_are_left_alone() -> None:
    assert hiding({"a", ""})("a cat") == "a cat"


def test_the_name_of_a_secret_is_no_secret() -> None:
    assert secrets_in({"secretHeader": {"header": "Authorization", "env": "AGENT_SECRET_CRM"}}) == set()


def test_secrets_are_hidden_in_every_string_of_a_result() -> None:
    value: JSON = {"echo": [{"apiKey": "sk-1234"}, 5, None], "n": 1.5}

    assert hidden(value, hiding({"sk-1234"})) == {"echo": [{"apiKey": "***"}, 5, None], "n": 1.5}

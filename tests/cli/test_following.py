import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "--full"),
        ("build", "--accept-missing"),
        ("match", "--full"),
        ("export", "--to", "here"),
        ("export", "--profile", "car"),
        ("export", "--verify"),
        ("export", "--overwrite"),
        ("report", "--to", "here"),
    ],
)
def test_options_for_one_run_are_refused_beside_watch(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments, "--watch", code=2)
    assert f"{arguments[1]} and --watch exclude each other" in done.err


@pytest.mark.parametrize("option", [("--debounce", "5"), ("--no-debounce",), ("--poll",), ("--interval", "5")])
def test_options_for_watching_need_it(cli: Cli, option: tuple[str, ...]) -> None:
    assert "need --watch" in cli("build", *option, code=2).err
    assert "need --watch" in cli("build", "--no-watch", *option, code=2).err


def test_a_build_that_watches_needs_a_library(cli: Cli) -> None:
    assert "psm library add" in cli("build", "--watch", code=2).err


def test_a_playlist_that_is_none_is_refused_before_anything_is_remembered(cli: Cli) -> None:
    (cli.home / "song.mp3").touch()
    done = cli("build", "--watch", "--playlists", cli.home / "song.mp3", code=2)
    assert "no ending of a playlist" in done.err

"""Loading the configuration: precedence, every mistake at once with its place, and what differs between systems."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm import places
from psm.config import (
    Config,
    ConfigError,
    ExportMode,
    ExportProfile,
    LineEnds,
    PathForm,
    PlaylistFormat,
    Polling,
    Slashes,
    UnicodeForm,
    WatchConfig,
    describe,
    keys,
    load_config,
    resolve,
)
from psm.config import file as config_file
from psm.config.file import Mistake
from psm.config.template import commented_file, default_in_yaml, in_yaml, plain
from psm.config.values import NamedPath
from psm.errors import ExitCode, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, where nothing of the person who runs the tests counts."""
    for name in [n for n in os.environ if n.startswith(("PSM_", "XDG_"))]:
        monkeypatch.delenv(name)
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    folder.mkdir()
    return folder / "psm.yaml"


def load(file: Path, text: str, **env: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load_config(file, env={"HOME": os.environ["HOME"], **env})


def mistakes_in(file: Path, text: str | bytes, **env: str) -> list[tuple[int | None, str, str]]:
    """Line, key and message of each mistake."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return mistakes_of(file, None, **env)


def mistakes_of(
    file: Path | None, flags: dict[str, object] | None = None, **env: str
) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ConfigError) as caught:
        load_config(file, flags=flags, env={"HOME": os.environ["HOME"], **env})
    assert caught.value.exit_code == ExitCode.USAGE
    return [(m.line, m.key, m.message) for m in caught.value.mistakes]


def only_mistake(file: Path, text: str | bytes, **env: str) -> tuple[int | None, str, str]:
    (mistake,) = mistakes_in(file, text, **env)
    return mistake


class TestDefaults:
    def test_without_a_file_everything_has_its_default(self, home: Path) -> None:
        data = home / ".local/share/psm"
        config = load_config()
        assert config.folder == home / ".config/psm"
        assert config.database.path == data / "psm.db"
        assert config.report.folder == data / "reports"
        assert config.export.profiles == (ExportProfile("default", data / "playlists"),)
        assert config.library.paths == ()
        assert (config.match.threshold, config.match.duration_tolerance_s) == (0.82, 8.0)

    @pytest.mark.parametrize(
        "text", ["", "\n", "# nothing\n", "---\n", "library:\n", "library: {}\nexport:\n  profiles:\n"]
    )
    def test_a_file_that_says_nothing_changes_nothing_but_the_folder(self, file: Path, text: str) -> None:
        config = load(file, text)
        assert config.folder == file.parent
        assert (config.database, config.export) == (load_config().database, load_config().export)

    def test_a_setting_with_nothing_behind_it_has_its_default(self, file: Path) -> None:
        assert load(file, "match:\n  threshold:\n").match.threshold == 0.82

    def test_the_default_file_is_read_when_it_is_there(self, home: Path) -> None:
        place = home / ".config/psm/config.yaml"
        place.parent.mkdir(parents=True)
        place.write_text("match: {threshold: 0.5}")
        assert load_config().match.threshold == 0.5

    def test_xdg_folders_are_honoured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
        config = load_config()
        assert config.folder == tmp_path / "c/psm"
        assert config.database.path == tmp_path / "d/psm/psm.db"


class TestFile:
    def test_every_setting_can_be_given(self, file: Path, home: Path) -> None:
        config = load(
            file,
            r"""
library:
  paths: {Main: ~/Music, live-sets: sub/live}
  ignore_patterns: ["*demo*", 2024]
  follow_symlinks: no
  missing_grace_days: 0
  watch:
    enabled: yes
    debounce_seconds: 0
    max_wait_seconds: 0.5
    ignore_patterns: "*.!ut"
    fallback_to_polling: true
    polling_interval: 1
    reconcile_interval: 10
    stage_interval: 60
playlists: {folders: ../lists}
database: {path: $DBS/x.db}
match: {threshold: 1, duration_tolerance_s: 2.5}
export:
  profiles:
    nas:
      folder: out
      format: m3u
      mode: placeholders
      paths: mapped
      map_from: ~/Music
      map_to: \\nas\music$
      slashes: back
      unicode: nfd
      encoding: Latin-1
      line_ends: crlf
    mpd: {folder: out, paths: below, root: ~/Music, mode: mirrored, unicode: nfc}
report: {folder: ~/rep, formats: [json]}
""",
            DBS="/var/dbs",
        )
        assert config.library.paths == (
            NamedPath(home / "Music", "Main"),
            NamedPath(file.parent / "sub/live", "live-sets"),
        )
        assert config.library.ignore_patterns == ("*demo*", "2024")
        assert (config.library.follow_symlinks, config.library.missing_grace_days) == (False, 0)
        assert config.library.watch == WatchConfig(True, 0.0, 0.5, ("*.!ut",), Polling.ALWAYS, 1.0, 10.0, 60.0)
        assert isinstance(config.library.watch.fallback_to_polling, Polling)
        assert config.playlists.folders == (file.parent.parent / "lists",)
        assert config.database.path == Path("/var/dbs/x.db")
        assert (config.match.threshold, config.match.duration_tolerance_s) == (1.0, 2.5)
        assert isinstance(config.match.threshold, float)
        assert config.export.profiles == (
            ExportProfile(
                "nas",
                file.parent / "out",
                format=PlaylistFormat.M3U,
                mode=ExportMode.PLACEHOLDERS,
                paths=PathForm.MAPPED,
                map_from=str(home / "Music"),
                map_to=r"\\nas\music$",
                slashes=Slashes.BACK,
                unicode=UnicodeForm.NFD,
                encoding="iso8859-1",
                line_ends=LineEnds.CRLF,
            ),
            ExportProfile(
                "mpd",
                file.parent / "out",
                mode=ExportMode.MIRRORED,
                paths=PathForm.BELOW,
                root=home / "Music",
                unicode=UnicodeForm.NFC,
            ),
        )
        assert (config.report.folder, config.report.formats) == (home / "rep", ("json",))
        assert isinstance(config.export.profiles[0].mode, ExportMode)

    def test_a_single_path_stands_for_a_list(self, file: Path, home: Path) -> None:
        assert load(file, "library: {paths: ~/Music}").library.paths == (NamedPath(home / "Music"),)

    def test_what_scans_and_watching_leave_out_is_one_list(self, file: Path) -> None:
        config = load(
            file, "library: {ignore_patterns: ['*demo*', '*.tmp'], watch: {ignore_patterns: ['*.tmp', '*.x']}}"
        )
        assert config.library.ignored == ("*demo*", "*.tmp", "*.x")

    @pytest.mark.parametrize(
        ("text", "meant"),
        [("auto", "auto"), ("true", "true"), ("on", "true"), ("no", "false"), ("'false'", "false")],
    )
    def test_polling_is_a_switch_with_a_third_word(self, file: Path, text: str, meant: str) -> None:
        read = load(file, f"library: {{watch: {{fallback_to_polling: {text}}}}}").library.watch.fallback_to_polling
        assert read is Polling(meant)

    def test_a_relative_config_file_counts_from_the_current_folder(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text("library: {paths: music}")
        monkeypatch.chdir(file.parent)
        config = load_config(Path(file.name))
        assert (config.folder, config.library.paths[0].path) == (file.parent, file.parent / "music")

    def test_aliases_and_merge_keys_share_what_profiles_have_in_common(self, file: Path) -> None:
        config = load(
            file,
            "export:\n  profiles:\n    a: &base {folder: a, mode: mirrored, format: m3u}\n"
            "    b: {<<: *base, folder: b}\n    c: {folder: c, <<: [{mode: strict}, *base]}\n",
        )
        assert [(p.folder.name, p.mode, p.format) for p in config.export.profiles] == [
            ("a", "mirrored", "m3u"),
            ("b", "mirrored", "m3u"),
            ("c", "strict", "m3u"),
        ]

    def test_a_byte_order_mark_is_fine(self, file: Path) -> None:
        file.write_bytes(b"\xef\xbb\xbfmatch: {threshold: 0.5}\r\n")
        assert load_config(file).match.threshold == 0.5

    def test_a_byte_that_is_no_text_can_be_written_as_an_escape(self, file: Path) -> None:
        (path,) = load(file, r'library: {paths: "/music/\udce9t\udce9"}').library.paths
        assert os.fsencode(path.path) == b"/music/\xe9t\xe9"


class TestPrecedence:
    def test_later_sources_win_setting_by_setting(self, file: Path) -> None:
        file.write_text("match: {threshold: 0.1, duration_tolerance_s: 1}\nlibrary: {missing_grace_days: 1}")
        env = {"PSM__MATCH__THRESHOLD": "0.2", "PSM__LIBRARY__MISSING_GRACE_DAYS": "2"}
        found = resolve(file, flags={"match.threshold": 0.3, "database.path": None}, env=env)
        assert [(s.key, s.value, s.source) for s in found if s.source != "default"] == [
            ("library.missing_grace_days", 2, "environment PSM__LIBRARY__MISSING_GRACE_DAYS"),
            ("match.threshold", 0.3, "flag"),
            ("match.duration_tolerance_s", 1.0, "file:1"),
        ]

    def test_resolve_names_every_setting_once_for_each_profile(self, file: Path) -> None:
        file.write_text("export:\n  profiles:\n    a: {folder: a}\n    b:\n      folder: b\n")
        found = {s.key: s.source for s in resolve(file)}
        general = [k.dotted for k in keys() if "NAME" not in k.path]
        profile = [k.path[-1] for k in keys() if "NAME" in k.path]
        assert sorted(found) == sorted(general + [f"export.profiles.{n}.{k}" for n in "ab" for k in profile])
        assert found["export.profiles.b.folder"] == "file:5"

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("~/a:/b c", [(None, "~/a"), (None, "/b c")]),
            ("/a::", [(None, "/a")]),
            ("[/a, '/b:c']", [(None, "/a"), (None, "/b:c")]),
            ("{main: /a, $X: /b}", None),
            ("{main: /a, x: /b}", [("main", "/a"), ("x", "/b")]),
            ("[]", []),
            ("", []),
        ],
    )
    def test_library_paths_from_the_environment(
        self, home: Path, value: str, expected: list[tuple[str | None, str]] | None
    ) -> None:
        env = {"PSM__LIBRARY__PATHS": value, "HOME": str(home)}
        if expected is None:
            with pytest.raises(ConfigError):
                load_config(env=env)
        else:
            found = [(p.name, str(p.path).replace(str(home), "~")) for p in load_config(env=env).library.paths]
            assert found == expected

    def test_lists_of_words_are_separated_by_commas_in_the_environment(self) -> None:
        env = {"PSM__LIBRARY__IGNORE_PATTERNS": "*demo*, Pod:casts/*", "PSM__REPORT__FORMATS": "json,html"}
        config = load_config(env=env)
        assert config.library.ignore_patterns == ("*demo*", "Pod:casts/*")
        assert config.report.formats == ("json", "html")

    def test_a_section_inside_a_section_has_variables_and_flags(self) -> None:
        env = {
            "PSM__LIBRARY__WATCH__DEBOUNCE_SECONDS": "5",
            "PSM__LIBRARY__WATCH__FALLBACK_TO_POLLING": "1",
            "PSM__LIBRARY__WATCH__IGNORE_PATTERNS": "*.a,*.b",
        }
        flags = {"library.watch.debounce_seconds": 0, "library.watch.fallback_to_polling": None}
        watch = load_config(env=env, flags=flags).library.watch
        assert (watch.debounce_seconds, watch.fallback_to_polling) == (0.0, Polling.ALWAYS)
        assert watch.ignore_patterns == ("*.a", "*.b")
        assert load_config(env=env, flags={"library.watch.fallback_to_polling": False}).library.watch == WatchConfig(
            debounce_seconds=5.0, fallback_to_polling=Polling.NEVER, ignore_patterns=("*.a", "*.b")
        )

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("OFF", False), ("0", False), ("yes", True)])
    def test_switches_from_the_environment(self, text: str, value: bool) -> None:
        assert load_config(env={"PSM__LIBRARY__FOLLOW_SYMLINKS": text}).library.follow_symlinks is value

    def test_a_variable_adds_to_the_profile_of_the_file_that_it_names(self, file: Path) -> None:
        text = "export: {profiles: {My Phone: {folder: p}}}"
        env = {"PSM__EXPORT__PROFILES__MY_PHONE__MODE": "mirrored", "PSM__EXPORT__PROFILES__CAR__FOLDER": "/car"}
        config = load(file, text, **env)
        assert [(p.name, p.mode) for p in config.export.profiles] == [("My Phone", "mirrored"), ("car", "strict")]

    def test_the_default_profile_can_be_changed_without_naming_its_folder(self, home: Path) -> None:
        (profile,) = load_config(env={"PSM__EXPORT__PROFILES__DEFAULT__FORMAT": "xspf"}).export.profiles
        assert (profile.name, profile.format) == ("default", "xspf")
        assert profile.folder == home / ".local/share/psm/playlists"

    def test_flags_take_python_values_and_count_from_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        config = load_config(
            flags={
                "library.paths": [Path("m$x"), Path("~")],
                "library.follow_symlinks": False,
                "playlists.folders": (tmp_path / "[p]:q",),
                "export.profiles.default.mode": ExportMode.MIRRORED,
                "report.formats": ["csv"],
                "match.duration_tolerance_s": 3,
            }
        )
        # The shell has replaced what was to be replaced.
        assert config.library.paths == (NamedPath(tmp_path / "m$x"), NamedPath(tmp_path / "~"))
        assert config.library.follow_symlinks is False
        assert config.playlists.folders == (tmp_path / "[p]:q",)
        assert config.export.profiles[0].mode is ExportMode.MIRRORED
        assert config.match.duration_tolerance_s == 3.0

    def test_flags_can_name_libraries(self) -> None:
        assert load_config(flags={"library.paths": {"main": Path("/m")}}).library.paths == (
            NamedPath(Path("/m"), "main"),
        )


class TestMistakes:
    def test_all_are_named_at_once_with_line_and_nearest_name(self, file: Path) -> None:
        text = """\
library:
  pats: [a]
  missing_grace_days: soon
treshold: 3
match:
  threshold: 1.5
  threshold: 1
export:
  profiles:
    phone:
      format: m3u9
"""
        found = mistakes_in(file, text, PSM__LIBARY__PATHS="x")
        assert found == [
            (2, "library.pats", "there is no such setting. Did you mean library.paths?"),
            (3, "library.missing_grace_days", "must be a whole number from 0 to 36500 (days), not 'soon'."),
            (4, "treshold", "there is no such setting. Did you mean match.threshold?"),
            (6, "match.threshold", "must be a number from 0 to 1, not '1.5'."),
            (7, "match.threshold", "stands twice, first on line 6."),
            (10, "export.profiles.phone", "the profile needs a folder."),
            (11, "export.profiles.phone.format", "must be m3u8, m3u or xspf, not 'm3u9'. Did you mean m3u?"),
            (None, "", "there is no such setting. Did you mean PSM__LIBRARY__PATHS?"),
        ]

    def test_the_message_says_where_each_is(self, file: Path) -> None:
        file.write_text("match: {threshold: x}\n")
        with pytest.raises(UsageError) as caught:
            load_config(file, flags={"report.formats": "pdf"}, env={"PSM__NONSENSE": "1"})
        assert str(caught.value).split("\n") == [
            "The configuration has 3 mistakes:",
            f"  {file}, line 1: match.threshold: must be a number from 0 to 1, not 'x'.",
            "  PSM__NONSENSE: there is no such setting.",
            "  flag: report.formats: must be html, csv or json, not 'pdf'.",
        ]

    def test_one_is_called_a_mistake(self) -> None:
        with pytest.raises(UsageError, match="The configuration has a mistake:"):
            load_config(env={"PSM__X": "1"})

    @pytest.mark.parametrize(
        ("text", "key", "part"),
        [
            ("library: [a]", "library", "must be a section that holds paths, ignore_patterns"),
            ("library: yes", "library", "must be a section"),
            ("export: {profiles: [a]}", "export.profiles", "must be a section that holds a name of your choice"),
            ("export: {profiles: {a: b}}", "export.profiles.a", "must be a section that holds folder, format"),
            ("library: {paths: {a: [b]}}", "library.paths", "a: must be a path, not a list"),
            ("library: {paths: [{a: b}]}", "library.paths", "must be a path, not a section"),
            ("library: {paths: {a: /x, A: /y}}", "library.paths", "differs from another name only in capitals"),
            ("library: {paths: {a: /x, b: /x/}}", "library.paths", "/x stands twice"),
            ("library: {paths: {a/b: /x}}", "library.paths", "'a/b' cannot name a library"),
            ("library: {paths: [/x, /x]}", "library.paths", "/x stands twice"),
            ("library: {paths: ['']}", "library.paths", "must be a path, not ''"),
            ("library: {paths: true}", "library.paths", "must be a path, not 'true'"),
            ("library: {paths: $NOPE/x}", "library.paths", "the environment variable NOPE is not set (write $$"),
            ("library: {paths: ~nobody-here/x}", "library.paths", "~nobody-here has no home folder"),
            ('library: {paths: "a\\0b"}', "library.paths", "cannot hold a NUL"),
            ('library: {paths: "/\\ud800"}', "library.paths", "half a character"),
            ("library: {paths: smb://nas/music}", "library.paths", "it is an address"),
            ("library: {paths: 'C:\\Music'}", "library.paths", "it is a path of Windows"),
            ("library: {paths: '\\\\nas\\music'}", "library.paths", "it is a path of Windows"),
            (
                "library: {ignore_patterns: {a: b}}",
                "library.ignore_patterns",
                "must be a pattern or a list of patterns",
            ),
            ("library: {ignore_patterns: [no]}", "library.ignore_patterns", "Put it in quotes"),
            ("library: {ignore_patterns: [[a]]}", "library.ignore_patterns", "must be text, not a list"),
            ("library: {ignore_patterns: ['']}", "library.ignore_patterns", "must be text, not ''"),
            ("library: {follow_symlinks: 1}", "library.follow_symlinks", "must be true or false, not '1'"),
            ("library: {follow_symlinks: 'true'}", "library.follow_symlinks", "must be true or false"),
            ("library: {follow_symlinks: [true]}", "library.follow_symlinks", "must be true or false, not a list"),
            ("library: {missing_grace_days: 1.5}", "library.missing_grace_days", "must be a whole number"),
            ("library: {missing_grace_days: -1}", "library.missing_grace_days", "from 0 to 36500"),
            ("library: {missing_grace_days: true}", "library.missing_grace_days", "not 'true'"),
            ("library: {watch: yes}", "library.watch", "must be a section that holds enabled, debounce_seconds"),
            (
                "library: {watch: {debounce: 1}}",
                "library.watch.debounce",
                "Did you mean library.watch.debounce_seconds?",
            ),
            ("library: {wach: {}}", "library.wach", "Did you mean library.watch?"),
            (
                "library: {polling_interval: 5}",
                "library.polling_interval",
                "Did you mean library.watch.polling_interval?",
            ),
            (
                "library: {watch: {fallback_to_polling: automatic}}",
                "library.watch.fallback_to_polling",
                "must be auto, true or false, not 'automatic'. Did you mean auto?",
            ),
            ("library: {watch: {fallback_to_polling: [auto]}}", "library.watch.fallback_to_polling", "not a list"),
            (
                "library: {watch: {polling_interval: 0.5}}",
                "library.watch.polling_interval",
                "from 1 to 86400 (seconds)",
            ),
            ("library: {watch: {reconcile_interval: 9}}", "library.watch.reconcile_interval", "from 10 to 86400"),
            ("library: {watch: {debounce_seconds: -1}}", "library.watch.debounce_seconds", "from 0 to 3600"),
            ("match: {threshold: '0.5'}", "match.threshold", "must be a number from 0 to 1, not '0.5'"),
            ("match: {threshold: .nan}", "match.threshold", "not '.nan'"),
            ("match: {threshold: .inf}", "match.threshold", "not '.inf'"),
            ("match: {threshold: 0,9}", "match.9", "no such setting"),
            ("match: {duration_tolerance_s: 601}", "match.duration_tolerance_s", "from 0 to 600 (seconds)"),
            ("match: {duration_tolerance_s: [1]}", "match.duration_tolerance_s", "not a list"),
            ("report: {formats: []}", "report.formats", "at least one"),
            ("report: {formats: [html, html]}", "report.formats", "html stands twice"),
            ("report: {formats: [HTML]}", "report.formats", "Did you mean html?"),
            ("report: {formats: {html: yes}}", "report.formats", "must be a list of html, csv and json"),
            ("report: {formats: [[html]]}", "report.formats", "must be html, csv or json, not a list"),
            ("database: {path: .}", "database.path", "is a folder; name a file in it"),
            ("export: {profile: {}}", "export.profile", "Did you mean export.profiles?"),
        ],
    )
    def test_in_a_value(self, file: Path, text: str, key: str, part: str) -> None:
        line, found, message = only_mistake(file, text)
        assert (line, found) == (1, key)
        assert part in message

    @pytest.mark.parametrize(
        ("profile", "key", "part"),
        [
            ("{}", "", "needs a folder"),
            ("", "", "needs a folder"),
            ("{folder: x, paths: below}", ".paths", "'paths: below' needs root as well"),
            ("{folder: x, root: /m}", ".root", "it does nothing without 'paths: below'"),
            ("{folder: x, paths: mapped, map_from: /m}", ".paths", "'paths: mapped' needs map_to"),
            ("{folder: x, paths: mapped, map_to: /m}", ".paths", "'paths: mapped' needs map_from"),
            ("{folder: x, map_to: /m}", ".map_to", "it does nothing without 'paths: mapped'"),
            ("{folder: x, encoding: latin-1}", ".encoding", "m3u8 files are always UTF-8"),
            ("{folder: x, format: xspf, encoding: utf-8-sig}", ".encoding", "xspf files are always UTF-8"),
            ("{folder: x, format: m3u, encoding: utf-16}", ".encoding", "ASCII text looks different"),
            ("{folder: x, format: m3u, encoding: utf-7}", ".encoding", "ASCII text looks different"),
            ("{folder: x, format: m3u, encoding: raw_unicode_escape}", ".encoding", "ASCII text looks different"),
            ("{folder: x, format: m3u, encoding: latin-x}", ".encoding", "must be the name of an encoding"),
            ("{folder: x, format: m3u, encoding: base64}", ".encoding", "must be the name of an encoding"),
            ("{folder: x, format: m3u, encoding: [a]}", ".encoding", "must be the name of an encoding"),
            ('{folder: x, format: m3u, encoding: "a\\0"}', ".encoding", "must be the name of an encoding"),
            ("{folder: x, map: {a: b}}", ".map", "Did you mean export.profiles.p.map_"),
            ("{folder: x, paths: [below], root: /m}", ".paths", "not a list"),
            ("{folder: x, paths: below, root: $NOPE}", ".root", "NOPE is not set"),
            ("{folder: [x]}", ".folder", "must be a path"),
            ("{folder: x, format: m3u7, encoding: latin-1}", ".format", "Did you mean m3u"),
        ],
    )
    def test_in_a_profile(self, file: Path, profile: str, key: str, part: str) -> None:
        line, found, message = only_mistake(file, f"export:\n  profiles:\n    p: {profile}\n")
        assert (line, found) == (3, "export.profiles.p" + key)
        assert part in message

    @pytest.mark.parametrize("name", ["a/b", "..", "a.b", "con", "LPT1", "'a '", "-x", "'a\tb'", "x" * 65, "''"])
    def test_a_profile_has_a_name_that_is_safe_everywhere(self, file: Path, name: str) -> None:
        line, _, message = only_mistake(file, f"export:\n  profiles:\n    {name}: {{folder: x}}\n")
        assert line == 3
        assert "cannot be its name" in message

    @pytest.mark.parametrize("name", ["1", "no", "Büro", "my phone", "a-b_c"])
    def test_a_profile_can_be_called(self, file: Path, name: str) -> None:
        assert load(file, f"export: {{profiles: {{{name}: {{folder: x}}}}}}").export.profiles[0].name == name

    def test_names_that_a_variable_could_not_tell_apart(self, file: Path) -> None:
        line, key, message = only_mistake(file, "export:\n  profiles:\n    a b: {folder: x}\n    A-B: {folder: y}\n")
        assert (line, key) == (4, "export.profiles.A-B")
        assert "too much like 'a b'" in message

    def test_two_profiles_that_would_write_the_same_files(self, file: Path) -> None:
        text = "export:\n  profiles:\n    a: {folder: x}\n    b: {folder: ./y/../x/}\n    c: {folder: x, format: m3u}\n"
        line, key, message = only_mistake(file, text)
        assert (line, key) == (4, "export.profiles.b.folder")
        assert "already takes the m3u8 files of the profile 'a'" in message

    def test_a_profile_that_would_write_to_the_folder_of_the_default_one(self, file: Path) -> None:
        text = "export:\n  profiles:\n    default:\n    b: {folder: ~/.local/share/psm/playlists}\n"
        assert only_mistake(file, text)[:2] == (4, "export.profiles.b.folder")

    def test_profiles_without_a_folder_do_not_share_one(self, file: Path) -> None:
        found = mistakes_in(file, "export:\n  profiles:\n    a:\n    b:\n    default: {folder: [x]}\n")
        assert [(line, key) for line, key, _ in found] == [
            (3, "export.profiles.a"),
            (4, "export.profiles.b"),
            (5, "export.profiles.default.folder"),
        ]

    def test_in_an_item_of_a_list_has_the_line_of_the_item(self, file: Path) -> None:
        found = mistakes_in(file, "library:\n  paths:\n    - /a\n    - [b]\n    - /c\n    - $NOPE\n")
        assert [line for line, _, _ in found] == [4, 6]

    @pytest.mark.parametrize(
        ("name", "value", "part"),
        [
            ("PSM__LIBRARY", "x", "no such setting"),
            ("PSM__", "x", "no such setting"),
            ("PSM__EXPORT__PROFILES__FOLDER", "x", "no such setting"),
            ("PSM__EXPORT__PROFILES__MY__P__FLDER", "x", "Did you mean PSM__EXPORT__PROFILES__MY__P__FOLDER?"),
            ("PSM__MATCH__TRESHOLD", "", "Did you mean PSM__MATCH__THRESHOLD?"),
            ("PSM__MATCH__THRESHOLD", "high", "must be a number from 0 to 1, not 'high'"),
            ("PSM__MATCH__THRESHOLD", "nan", "not 'nan'"),
            ("PSM__LIBRARY__MISSING_GRACE_DAYS", "1.5", "must be a whole number"),
            ("PSM__LIBRARY__FOLLOW_SYMLINKS", "maybe", "must be true or false, not 'maybe'"),
            ("PSM__LIBRARY__PATHS", "[/a", "cannot be read as YAML"),
            ("PSM__LIBRARY__PATHS", "[/a, [b]]", "must be a path, not a list"),
            ("PSM__REPORT__FORMATS", "html,pdf", "not 'pdf'"),
        ],
    )
    def test_in_the_environment(self, name: str, value: str, part: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_config(env={name: value})
        (mistake,) = caught.value.mistakes
        assert (mistake.source, mistake.line) == (f"environment {name}", None)
        assert part in mistake.message
        assert describe(mistake, Path("c.yaml")).startswith(f"{name}: ")

    def test_in_a_flag(self) -> None:
        found = mistakes_of(None, {"match.treshold": 1, "library.paths": [Path("/a"), Path("/a")], "nothing.at.all": 2})
        assert found == [
            (None, "match.treshold", "there is no such setting. Did you mean match.threshold?"),
            (None, "library.paths", "/a stands twice in the list."),
            (None, "nothing.at.all", "there is no such setting."),
        ]

    def test_psm_config_is_no_setting(self) -> None:
        load_config(env={"PSM_CONFIG": "x", "PSM_": "y"})


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "line", "part"),
        [
            ("library:\n\tpaths: a\n", 2, "YAML takes spaces, no tabs"),
            ("library:\n  paths:\n  \t- a\n", 3, "YAML takes spaces, no tabs"),
            ("a: b\n c: d\n", 2, "column 3: mapping values are not allowed here"),
            ("library: {paths: [a\n", 2, "expected ',' or ']'"),
            ('map_to: "\\\\nas\\music"\n', 1, "put the value in 'single quotes'"),
            ('paths: "C:\\Users"\n', 1, "put the value in 'single quotes'"),
            ("a: b\n---\nc: d\n", 2, "psm takes one"),
            ("a: *nope\n", 1, "undefined alias"),
            ("library:\n  paths: \x01\n", 2, "the character '\\x01' is not allowed"),
            ("library: {paths: !!python/object:os.system x}\n", 1, "cannot be read as tag:yaml.org,2002:python"),
            ("match: {threshold: !!int x}\n", 1, "cannot be read as tag:yaml.org,2002:int"),
            ("match: {? [a] : b}\n", 1, "a key must be a single word"),
            ("match: {<<: 3}\n", 1, "<< takes a section"),
            ("- a\n", 1, 'the file must hold "key: value" lines'),
            ("\njust words\n", 2, 'the file must hold "key: value" lines'),
            ("library: &a\n  paths: [*a]\n", 1, "nested too deeply"),
            ("library:\n  paths: " + "[" * 30 + "]" * 30, 2, "nested too deeply"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, file: Path, text: str, line: int, part: str) -> None:
        found = mistakes_in(file, text)
        assert [(at, part in message) for at, _, message in found if part in message] == [(line, True)], found

    def test_that_is_not_utf_8_names_the_line(self, file: Path) -> None:
        assert only_mistake(file, b"library:\n  paths: /M\xfcsik\n")[0::2] == (
            2,
            "the file is not UTF-8; save it with that encoding",
        )

    def test_of_windows_notepad_in_utf_16_is_named(self, file: Path) -> None:
        assert "not UTF-8" in only_mistake(file, "match: {}".encode("utf-16"))[2]

    def test_that_unfolds_to_billions_is_refused_at_once(self, file: Path) -> None:
        bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
        assert "it unfolds to more than 20,000 values" in only_mistake(file, bomb)[2]

    def test_that_is_nested_thousandfold_is_refused(self, file: Path) -> None:
        assert "nested too deeply" in only_mistake(file, "[" * 50_000)[2]

    def test_that_is_huge_is_refused_unread(self, file: Path) -> None:
        assert "larger than 1,000,000 bytes" in only_mistake(file, b"#" * 1_000_001)[2]

    def test_dates_are_text(self, file: Path) -> None:
        patterns = load(file, "library: {ignore_patterns: [2024-01-02, 2024-13-45, 1e3]}").library.ignore_patterns
        assert patterns == ("2024-01-02", "2024-13-45", "1e3")

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
        | st.text("ab:-{}[]&*!|>'\"#%@ \n\t?,<=~", max_size=40)
    )
    def test_of_any_kind_gives_a_tree_or_mistakes(self, text: str) -> None:
        node, mistakes = config_file.parse(text)
        assert node is None or node.line is not None
        assert all(m.message for m in mistakes)

    def test_a_mistake_without_a_place_still_has_words(self) -> None:
        import yaml

        assert config_file._syntax_mistake(yaml.MarkedYAMLError(problem="odd"), "") == Mistake("this is no YAML: odd")
        assert "cannot be understood" in config_file._syntax_mistake(yaml.MarkedYAMLError(), "").message


class TestUnreadable:
    def test_a_named_file_that_is_not_there(self, file: Path) -> None:
        (mistake,) = mistakes_of(file)
        assert mistake == (None, "", "there is no such file; 'psm config init' writes one")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert mistakes_of(tmp_path)[0][2] == "it is a folder, not a file"

    def test_a_loop_of_links(self, file: Path) -> None:
        file.symlink_to(file)
        assert "it cannot be read: Too many levels of symbolic links" in mistakes_of(file)[0][2]

    def test_a_folder_on_a_system_that_says_permission_denied(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
        assert mistakes_of(tmp_path)[0][2] == "it is a folder, not a file"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
    def test_a_file_without_permission(self, file: Path) -> None:
        file.write_text("match: {}")
        file.chmod(0)
        code = f"""
import os, sys
sys.path[:] = {sys.path!r}
import psm.config, platformdirs.unix, pathlib
if os.getuid() == 0:  # root ignores modes
    os.setuid(65534)
psm.config.load_config(pathlib.Path({str(file)!r}))
"""
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "it cannot be read: Permission denied" in result.stderr

    @pytest.mark.skipif(os.name == "nt", reason="Windows asks the system for its folders")
    def test_an_account_without_a_home(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        without_home(monkeypatch)
        with pytest.raises(UsageError, match=r"no configuration folder, because this account has no home\. Set HOME"):
            load_config()
        file.write_text("")
        with pytest.raises(UsageError, match="no data folder, because this account has no home"):
            load_config(file)

    @pytest.mark.skipif(os.name == "nt", reason="Windows asks the system for its folders")
    def test_an_account_without_a_home_that_says_where_everything_is(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_home(monkeypatch)
        file.write_text("database: {path: db}\nreport: {folder: r}\nexport: {profiles: {default: {folder: p}}}")
        assert load_config(file).database.path == file.parent / "db"

    def test_a_platformdirs_that_gives_back_the_tilde(self) -> None:
        class Older:
            user_config_dir = "~/.config/psm"

        with pytest.raises(UsageError, match="no home"):
            places.config_folder(Older())  # type: ignore[arg-type]

    @pytest.mark.skipif(os.name == "nt", reason="Windows keeps the current folder from being removed")
    def test_a_current_folder_that_is_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(UsageError, match="current folder no longer exists"):
            load_config()


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the account one that the system knows nothing about, as a container's may be."""
    import pwd

    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


class TestSystems:
    def test_folders_on_macos(self, home: Path) -> None:
        dirs = platformdirs.macos.MacOS("psm", appauthor=False)
        assert places.config_folder(dirs) == home / "Library/Application Support/psm"
        assert places.data_folder(dirs) == home / "Library/Application Support/psm"

    def test_folders_on_windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        local = "C:\\Users\\Ann\\AppData\\Local"
        monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda _: local)
        dirs = platformdirs.windows.Windows("psm", appauthor=False)
        assert str(places.config_folder(dirs)).replace("/", "\\") == local + "\\psm"

    def test_folders_on_linux(self, home: Path) -> None:
        dirs = platformdirs.unix.Unix("psm", appauthor=False)
        assert places.config_folder(dirs) == home / ".config/psm"
        assert places.data_folder(dirs) == home / ".local/share/psm"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("~", "/home/ann"),
            ("~/a~b", "/home/ann/a~b"),
            ("$A/${B}c", "1/2c"),
            ("a$$b$", "a$b$"),
            ("100%A%", "100%A%"),
            ("a/~", "a/~"),
        ],
    )
    def test_paths_are_expanded(self, text: str, expected: str) -> None:
        assert places.expand(text, {"HOME": "/home/ann", "A": "1", "B": "2"}, windows=False) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("~", r"C:\Users\Ann"),
            (r"~\Music", r"C:\Users\Ann\Music"),
            ("~/Music", r"C:\Users\Ann/Music"),
            (r"%A%\x", r"1\x"),
            ("50%% of 100%", "50% of 100%"),
            (r"\\nas\music$\$A", r"\\nas\music$\$A"),
        ],
    )
    def test_paths_are_expanded_on_windows(self, text: str, expected: str) -> None:
        assert places.expand(text, {"USERPROFILE": r"C:\Users\Ann", "A": "1"}, windows=True) == expected

    def test_a_home_keeps_a_dollar_in_its_name(self) -> None:
        assert places.expand("~/x", {"HOME": "/home/$A"}, windows=False) == "/home/$A/x"

    def test_root_as_a_home(self) -> None:
        assert places.expand("~/x", {"HOME": "/"}, windows=False) == "/x"
        assert places.expand("~", {"HOME": "/"}, windows=False) == "/"

    def test_an_unset_variable_on_windows_names_its_sign(self) -> None:
        with pytest.raises(ValueError, match="write %% for"):
            places.expand("%NOPE%", {}, windows=True)

    @given(st.text(max_size=20).map(lambda t: "/" + t), st.booleans())
    def test_what_is_written_literally_is_read_back(self, path: str, windows: bool) -> None:
        assert places.expand(places.literal(path, windows=windows), {"A": "1"}, windows=windows) == path

    @pytest.mark.parametrize("path", [r"C:\Music", "D:/Music", r"\\nas\music"])
    def test_paths_of_windows_are_fine_there_only(self, path: str) -> None:
        assert places.foreign_path(path, windows=True) is None
        assert "path of Windows" in (places.foreign_path(path, windows=False) or "")

    @pytest.mark.parametrize("path", ["/music", "music: live", "./C:\\x", "x/http://y"])
    def test_ordinary_paths_are_fine(self, path: str) -> None:
        assert places.foreign_path(path, windows=False) is None


class TestTemplate:
    @pytest.mark.parametrize("text", ["auto", "true", "false"])
    def test_polling_is_shown_as_it_is_written(self, text: str) -> None:
        assert in_yaml(plain(Polling(text))) == text

    def test_says_the_defaults(self, file: Path) -> None:
        file.write_text(commented_file(), encoding="utf-8")
        assert all(s.source == "default" for s in resolve(file))
        assert replaced_folder(load_config(file)) == replaced_folder(load_config())

    def test_says_the_defaults_without_its_comment_signs_too(self, file: Path) -> None:
        lines = commented_file().splitlines()
        bare = [
            line.replace("#", "", 1) if line.lstrip().startswith("#") and line.lstrip()[1:2].isalpha() else line
            for line in lines
        ]
        file.write_text("\n".join(bare), encoding="utf-8")
        unset = {"root", "map_from", "map_to"}
        given_keys = {s.key.rpartition(".")[2] for s in resolve(file) if s.source == "default"}
        assert given_keys == unset
        assert replaced_folder(load_config(file)) == replaced_folder(load_config())

    def test_is_right_in_a_home_with_odd_characters(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "a $B: #c\udce9é"))
        self.test_says_the_defaults_without_its_comment_signs_too(file)

    def test_defaults_are_one_line_each(self) -> None:
        assert all("\n" not in default_in_yaml(k) for k in keys())

    def test_long_values_stay_on_one_line(self) -> None:
        assert "\n" not in in_yaml(["word " * 100])


def replaced_folder(config: Config) -> Config:
    from dataclasses import replace

    return replace(config, folder=Path())


@pytest.mark.parametrize("key", keys(), ids=lambda k: k.dotted)
def test_the_example_of_each_setting_is_valid(file: Path, key: object) -> None:
    from psm.config.keys import Findings, Key, gather_file

    assert isinstance(key, Key)
    *sections, name = key.path
    text = (
        "".join(f"{'  ' * d}{part}:\n" for d, part in enumerate(sections))
        + f"{'  ' * len(sections)}{name}: {key.example}\n"
    )
    file.write_text(text)
    root, mistakes = config_file.read_file(file, required=True)
    findings = Findings()
    gather_file(keys(), root, file.parent, {"HOME": "/h"}, findings)
    assert not mistakes
    assert not findings.mistakes
    assert findings.values[key.path].value != key.default


def test_importing_the_configuration_loads_neither_yaml_nor_platformdirs() -> None:
    code = (
        "import sys, psm.config; print([m for m in ('yaml', 'platformdirs', 'difflib', 'typer') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert result.stdout == "[]\n"

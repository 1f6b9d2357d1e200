"""What contributors are told: files that parse, a map that is complete, links that lead somewhere."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from slrl import plugins

ROOT = Path(__file__).parents[1]
NOT_OURS = {"runs", "dist", "build", "site"}
MARKDOWN = sorted(
    path
    for top in ROOT.iterdir()
    if top.name == ".github" or not (top.name.startswith(".") or top.name in NOT_OURS)
    for path in ([top] if top.is_file() else top.rglob("*"))
    if path.suffix == ".md"
)
YAML = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / ".pre-commit-config.yaml",
    ROOT / "mkdocs.yml",
    ROOT / "CITATION.cff",
]
KINDS = (
    plugins.AGENTS,
    plugins.OBJECTIVES,
    plugins.GUIDANCE,
    plugins.ADAPTERS,
    plugins.SHIFTS,
    plugins.BEHAVIOURS,
    plugins.FORMATS,
    plugins.ENGINES,
)
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r'\]\(<?([^()\s>]+)>?(?: "[^"]*")?\)|(?:src|href)="([^"]+)"|^\[[^\]]+\]: +(\S+)', re.MULTILINE
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def the_map() -> str:
    """The tree of the package in CONTRIBUTING.md."""
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The map")[2].split("```")[1]


def test_the_files_that_this_is_about_are_there() -> None:
    names = {name_of(path) for path in (*MARKDOWN, *YAML)}
    assert {"README.md", "CONTRIBUTING.md", "docs/adding.md", ".github/pull_request_template.md"} <= names
    assert {".github/workflows/ci.yml", ".github/ISSUE_TEMPLATE/bug_report.yml"} <= names
    assert "](CONTRIBUTING.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", YAML, ids=name_of)
def test_it_parses(path: Path) -> None:
    table = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(table, dict)
    assert table


def test_ci_runs_what_contributing_says() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert any(command.startswith("make check test") for command in commands["test"])
    assert any(command.startswith("make docs") for command in commands["docs"])


@pytest.mark.parametrize("name", ["bug_report", "scenario_or_method"])
def test_an_issue_template_has_what_a_form_needs(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    fields = [field["id"] for field in form["body"]]
    assert len(fields) == len(set(fields))
    assert all(field["attributes"]["label"] for field in form["body"])


def test_hooks_before_a_commit_are_the_checks_of_make_check() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}  # the versions of constraints.txt
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    checks = [line.replace("$(BIN)/", "").split(" ") for line in recipe.split("\n\t")[1:]]
    for check in checks:
        words = [word for word in check if word not in ("--check", ".")]
        assert any(hook["entry"].startswith(f".venv/bin/{' '.join(words)}") for hook in hooks), check


def test_the_citation_is_that_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = pyproject()["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def test_there_is_one_address_of_the_repository() -> None:
    address = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["repo_url"]
    urls = pyproject()["project"]["urls"]
    assert urls["Homepage"] == address
    assert all(url.startswith(address) for url in urls.values())


def test_every_page_is_in_the_navigation() -> None:
    """`make docs` asks for it too; this does without MkDocs."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = [name_of(path).removeprefix("docs/") for path in MARKDOWN if name_of(path).startswith("docs/")]
    assert [page for page in pages if page not in navigation.split()] == []


def test_the_map_has_every_room_in_the_order_of_the_import_contract() -> None:
    rooms = {
        path.name + "/" if path.is_dir() else path.name
        for path in (ROOT / "slrl").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    words = the_map().split()
    assert sorted(room for room in rooms if not room.startswith("__") and room not in words) == []
    layers = pyproject()["tool"]["importlinter"]["contracts"][0]["layers"]
    lines = [
        {
            words.index(room)
            for room in rooms
            if room.removesuffix("/").removesuffix(".py") in layer.split(" | ")
        }
        for layer in layers
    ]
    assert all(max(above) < min(below) for above, below in pairwise(lines))


def test_the_map_has_every_folder_of_plugins_and_marks_it() -> None:
    packages = [
        path.parent.relative_to(ROOT / "slrl").as_posix() + "/"
        for path in (ROOT / "slrl").rglob("__init__.py")
        if path.parent.parent not in (ROOT, ROOT / "slrl")
    ]
    assert sorted(package for package in packages if package not in the_map().split()) == []
    marked = re.findall(r"^ *(\S+)/ +\*", the_map(), re.MULTILINE)
    assert {kind for kind in vars(plugins).values() if isinstance(kind, plugins.Kind)} == set(KINDS)
    folders = {kind: kind.package.replace(".", "/") for kind in KINDS}
    assert sorted(f"slrl/{folder}" for folder in marked) == sorted(folders.values())
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind, folder in folders.items():
        assert plugins.names(kind)
        assert f"`{folder}/x.py`" in text  # how to add one


def test_adding_names_every_group_of_entry_points() -> None:
    text = (ROOT / "docs/adding.md").read_text(encoding="utf-8")
    assert [kind.group for kind in KINDS if f"`{kind.group}`" not in text] == []


def test_files_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:slrl|tests|docs|eval|priors|scenarios|adapters)/[\w/.]*)`", text))
    assert sorted(name for name in named if "/x." not in name and not (ROOT / name).exists()) == []


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().rstrip("#").strip())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    found: set[str] = set(re.findall(r'(?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE):
        base, count = slug(heading), 0
        while (name := f"{base}-{count}" if count else base) in found:
            count += 1
        found.add(name)
    return found


def broken(path: Path) -> list[str]:
    """The relative links of a Markdown file that lead to no file, or to no heading."""
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", path.read_text(encoding="utf-8")))
    found = []
    for link in ("".join(groups) for groups in LINK.findall(text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        missing = not target.exists() or not target.is_relative_to(ROOT)
        if missing or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `b`: c's (d)\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    right = (
        "[1](other.md) [2](other.md#a-b-cs-d) [3](other.md#twice-1) [4](#here) [5](https://x.y/z) `[6](no)`"
    )
    wrong = '[7](no.md) [8](other.md#no-heading) [9](#nowhere) <img src="no.png"> ![10](no.png) [11](../..)'
    page.write_text(f"# Here\n\n{right}\n\n{wrong}\n\n```\n[12](no.md)\n```\n")
    assert broken(page) == ["no.md", "other.md#no-heading", "#nowhere", "no.png", "no.png", "../.."]

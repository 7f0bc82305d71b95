"""The house rules that a machine can judge: sizes, rooms, and who knows the screen library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION, MAX_ROOMS, MAX_DOOR = 500, 60, 12, 120
CODE = sorted(
    [ROOT / "app.py", *ROOT.glob("ecgqa/**/*.py"), *ROOT.glob("training/**/*.py")],
    key=lambda path: path.as_posix(),
)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Names of a file's functions and their lengths, decorators and docstrings included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def imported_by(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_code_is_where_it_is_looked_for():
    assert {"app.py", "ecgqa/record.py", "training/stages/train.py"} <= {
        name_of(path) for path in CODE
    }


def test_no_file_is_too_long():
    assert {name_of(path) for path in CODE if lines_of(path) > MAX_FILE} == set()


def test_no_function_is_too_long():
    long = {
        f"{name_of(path)} {name}"
        for path in CODE
        for name, lines in functions_of(path)
        if lines > MAX_FUNCTION
    }
    assert long == set()


def test_the_package_has_a_dozen_rooms():
    rooms = [
        path.name
        for path in (ROOT / "ecgqa").iterdir()
        if not path.name.startswith("__") and path.suffix in ("", ".py")
    ]
    assert len(rooms) <= MAX_ROOMS, rooms


def test_the_door_stays_a_door():
    assert lines_of(ROOT / "app.py") <= MAX_DOOR


def test_only_the_page_knows_the_screen_library():
    knowing = {name_of(path) for path in CODE if "gradio" in imported_by(path)}
    assert knowing
    outside = {name for name in knowing if not name.startswith("ecgqa/page/") and name != "app.py"}
    assert outside == set()


@pytest.mark.parametrize("step", ["desk", "looking", "asking", "trend", "trend_view"])
def test_what_a_session_does_is_known_without_a_screen(step):
    assert "gradio" not in imported_by(ROOT / "ecgqa" / "page" / f"{step}.py")

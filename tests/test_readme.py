"""The README's commands and words agree with what is here."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from ecgqa import INTENDED_USE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def block(mark: str) -> str:
    """The command behind a mark."""
    found = re.search(rf"<!-- {mark} -->\n```\n(.+?)\n```", README, re.S)
    assert found, f"README has no block {mark}"
    return found[1]


def test_two_commands_name_files_that_exist():
    for mark in ("start", "tests"):
        for name in re.findall(r"-r (\S+)", block(mark)):
            assert (ROOT / name).exists()
    assert block("start").endswith("python app.py")
    assert block("tests").endswith("python -m pytest")


def test_intended_use_is_the_same_sentence():
    assert f"> **Intended use.** {INTENDED_USE}\n" in README


def test_every_file_in_the_table_exists():
    for name in re.findall(r"`((?:ecgqa|training|assets)/[\w./]*|app\.py)`", README):
        assert (ROOT / name).exists(), name


def test_options_that_are_promised_are_there():
    shown = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for option in ("--host", "--port", "--gallery", "--checkpoint", "--llm"):
        assert option in shown and option in README


def test_python_example_names_what_exists():
    import ecgqa

    code = re.search(r"```python\n(.+?)```", README, re.S)
    assert code
    tree = ast.parse(code[1])
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names]
    assert imported and all(hasattr(ecgqa, name) for name in imported)
    used = re.findall(r"assistant\.(\w+)\(", code[1])
    assert used and all(hasattr(ecgqa.EcgAssistant, name) for name in used)


def test_only_the_screen_imports_gradio_and_nothing_imports_pyplot():
    screen = set(ROOT.glob("ecgqa/page/*.py"))
    for path in [*ROOT.glob("ecgqa/**/*.py"), *ROOT.glob("training/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {n.split(".")[0] for n in names}
            assert "app" not in roots and (path in screen or "gradio" not in roots), path
            assert "matplotlib.pyplot" not in names, path


def test_numbers_come_from_the_evaluation_files():
    from training.evaluate import report
    from training.tables import Control, between, table

    for name in ("evaluation", "controls"):
        path = ROOT / "assets" / f"{name}.json"
        assert path.exists(), f"run training.{name.replace('evaluation', 'evaluate')} with --out"
        record = json.loads(path.read_text())
        want = report(record) if name == "evaluation" else table([Control(**c) for c in record])
        assert between(ROOT / "README.md", name) == want


def test_the_clinics_numbers_come_from_its_file():
    from training.clinic import report
    from training.tables import between

    record = json.loads((ROOT / "assets" / "clinic.json").read_text())
    assert between(ROOT / "README.md", "clinic") == report(record)


def test_weights_stay_small():
    sizes = [p.stat().st_size for p in (ROOT / "assets" / "checkpoint").rglob("*") if p.is_file()]
    assert 1e6 < sum(sizes) <= 30e6

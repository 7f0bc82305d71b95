"""The README's commands and words agree with what is here."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

from ecgqa import INTENDED_USE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *(ROOT / "training").glob("*.md")]


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
    for name in re.findall(r"`((?:ecgqa|training|assets|tests|\.ci)/[\w./-]*|app\.py)`", README):
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
    from training.judge.evaluate import report
    from training.judge.tables import Control, between, table

    for name in ("evaluation", "controls"):
        path = ROOT / "assets" / f"{name}.json"
        assert path.exists(), f"run training.{name.replace('evaluation', 'evaluate')} with --out"
        record = json.loads(path.read_text())
        want = report(record) if name == "evaluation" else table([Control(**c) for c in record])
        assert between(ROOT / "training" / "RESULTS.md", name) == want


def test_the_clinics_numbers_come_from_its_file():
    from training.judge.clinic import report
    from training.judge.tables import between

    record = json.loads((ROOT / "assets" / "clinic.json").read_text())
    assert between(ROOT / "training" / "RESULTS.md", "clinic") == report(record)


def test_the_short_table_comes_from_the_files():
    from training.judge.tables import between, summary

    shown = between(ROOT / "README.md", "results")
    assert shown == summary(ROOT / "assets")
    assert len(shown.splitlines()) - 2 <= 12


def test_readme_is_short_and_so_are_its_sentences():
    assert len(README.splitlines()) <= 150
    prose = re.sub(r"```.*?```|<!--.*?-->", "", README, flags=re.S)
    lines = [x for x in prose.splitlines() if not x.startswith(("|", "#", "!", ">"))]
    for paragraph in re.split(r"\n\s*\n|\n- ", "\n".join(lines)):
        for sentence in re.split(r"[.!?:]\**\s", " ".join(paragraph.split())):
            assert len(sentence.split()) <= 30, sentence


def test_every_command_in_the_documents_is_a_module_with_help():
    for document in DOCUMENTS:
        for name in re.findall(
            r"python -m ((?:ecgqa|training|tests)[\w.]*\w)", document.read_text()
        ):
            spec = importlib.util.find_spec(name)
            assert spec and spec.origin, f"{document.name}: {name}"
            file = Path(spec.origin)
            source = (
                file.with_name("__main__.py") if spec.submodule_search_locations else file
            ).read_text()
            assert '__name__ == "__main__"' in source, name
            known = ("ArgumentParser", "parse(", "command_line(")
            assert any(one in source for one in known), name


def test_weights_stay_small():
    sizes = [p.stat().st_size for p in (ROOT / "assets" / "checkpoint").rglob("*") if p.is_file()]
    assert 1e6 < sum(sizes) <= 30e6

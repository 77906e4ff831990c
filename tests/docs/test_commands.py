"""Every command and every example in Python on a page is run, or a rule says how it is shown.

A page's blocks run one after the other in one shell, as its reader would type them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monai_cl.cli.commands import Commands
from monai_cl.cli.words import check_words, find_command
from tests.docs.commands import ROOT, Block, Step, all_blocks, blocks_of
from tests.docs.table import RULES, rule_for, runs_without_a_rule

BLOCKS = all_blocks()
PAGES = sorted({block.file for block in BLOCKS if not block.inline})
# a command in a sentence that only says its name, or leaves a part open
_OPEN = re.compile(r"…|\.\.\.|[=\s](N|FILE|FOLDER|NAME|RUN_DIR)\b")
_NAME = re.compile(r"python -m (monai_cl( \w+){0,2}|monai\.bundle \w+)$|(make|torchrun|sbatch|tensorboard|docker)$")
TUTORIAL = "docs/tutorial.md"


def is_mention(block: Block) -> bool:
    text = block.steps[0].text
    known = rule_for(text) is None
    return block.inline and known and bool(_OPEN.search(text) or _NAME.match(text))


def shown_elsewhere(step: Step) -> bool:
    rule = rule_for(step.text)
    return rule is not None and rule.shown_by is not None


MENTIONS = [block for block in BLOCKS if is_mention(block)]
SINGLE = [block for block in BLOCKS if block.inline and not is_mention(block) and not shown_elsewhere(block.steps[0])]


def test_every_command_is_run_or_declared():
    unknown = [
        str(step)
        for block in BLOCKS
        if not is_mention(block)
        for step in block.steps
        if rule_for(step.text) is None and not runs_without_a_rule(step.text)
    ]
    assert not unknown, "no rule says how to run these; add one to RULES in tests/docs/table.py:\n" + "\n".join(unknown)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_what_a_rule_points_at_exists(rule):
    assert rule.why
    if rule.shown_by in (None, "make", "pip"):
        return
    file, _, name = rule.shown_by.partition("::")
    assert (ROOT / file).exists(), rule.shown_by
    assert not name or re.search(
        rf"^def {name}\(|^    def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M
    ), rule.shown_by


@pytest.mark.parametrize("block", MENTIONS, ids=lambda block: f"{block}: {block.steps[0].text}")
def test_a_command_that_is_named_exists_with_its_options(block):
    words = [word for word in block.steps[0].text.split() if not _OPEN.search(f" {word}")]
    if words[:3] == ["python", "-m", "monai_cl"]:
        named, command = find_command(Commands(), words[3:])
        assert named
        assert callable(command) or len(words) == 4  # a group of commands
        check_words(Commands(), [*named, *(word for word in words[3:] if word.startswith("--"))])
    else:
        assert words[:3] == ["python", "-m", "monai.bundle"] or words[0] in ("make", "torchrun"), block


def declared(kind: str) -> list[Step]:
    return [s for b in BLOCKS for s in b.steps if (rule := rule_for(s.text)) and rule.shown_by == kind]


@pytest.mark.parametrize("step", declared("make"), ids=str)
def test_a_target_of_make_exists(step):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = re.search(r"make (\S+)", step.text)[1]
    assert re.search(rf"^{target}:", text, re.M)
    assert f"make {target} " in text, "and its help names it"


@pytest.mark.parametrize("step", declared("pip"), ids=str)
def test_an_extra_that_is_to_be_installed_exists(step):
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extra in re.findall(r"\[([\w,]+)\]", step.text):
        assert set(extra.split(",")) <= set(setup["options.extras_require"])
    for file in re.findall(r"-[cr] (\S+)", step.text):
        assert (ROOT / file).is_file()


def script(steps: list[Step], world) -> str:
    """A script that runs the steps and stops at the first whose status is not the one expected."""
    lines = [f"export ROOT={ROOT}"]
    for step in steps:
        rule, text, status = rule_for(step.text), step.text, 0
        if rule is not None:
            if rule.shown_by:
                continue
            for old, new in rule.replace.items():
                text = re.sub(old, new, text, count=1)
            status = rule.status
        told = f'echo "{step.file}:{step.line} ended with status $status, expected {status}" >&2; exit 99'
        lines += [world.placed(text), f"status=$?; [ $status -eq {status} ] || {{ {told}; }}"]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES if page != TUTORIAL])
def test_the_commands_of_a_page_run(page, world, shell):
    steps = [step for block in BLOCKS if block.file == page and not block.inline for step in block.steps]
    shell.run(script(steps, world), cwd=world.home()).check()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", SINGLE, ids=lambda block: f"{block}: {block.steps[0].text}"[:90])
def test_a_command_in_a_sentence_runs(block, world, shell):
    shell.run(script(list(block.steps), world), cwd=world.home()).check()


SAMPLE = """# A page

```bash
# a comment
B=some/folder
python -m monai_cl one "$B" \\
    --two 2   # and why
```
Text with `python -m monai_cl three --four` and `not a command`.

    python -m monai_cl five
    /data  /folders

```json
{"python": 1}
```
```python
print(1)
```
```
python -m monai_cl six
cat > file.py <<'EOF'
# kept
print(2)

EOF
```
"""


def test_commands_are_found_in_fences_indented_blocks_and_sentences():
    found = [(block.line, block.inline, [step.text for step in block.steps]) for block in blocks_of(SAMPLE, "page.md")]
    assert found == [
        (4, False, ["B=some/folder", 'python -m monai_cl one "$B" --two 2']),
        (18, False, ["python - <<'EOF'\nprint(1)\nEOF"]),
        (21, False, ["python -m monai_cl six", "cat > file.py <<'EOF'\n# kept\nprint(2)\n\nEOF"]),
        (11, False, ["python -m monai_cl five"]),
        (9, True, ["python -m monai_cl three --four"]),
    ]


def test_a_fence_of_an_unknown_language_is_not_passed_over():
    with pytest.raises(ValueError, match=r"page\.md:1: the language 'zsh'; add it"):
        list(blocks_of("```zsh\npython -m monai_cl one\n```\n", "page.md"))


def test_no_page_is_ignored():
    files = {block.file for block in BLOCKS}
    assert {"README.md", "data_lists/README.md", TUTORIAL, "docs/dicom.md"} <= files
    assert {f"bundles/{path.name}/docs/README.md" for path in Path(ROOT / "bundles").iterdir()} <= files

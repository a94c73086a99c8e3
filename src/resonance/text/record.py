"""data/corpus.yaml: which versions of which packages the corpus is made of, on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resonance import storage
from resonance.errors import UserError

Record = dict[str, dict[str, str]]
"""{package: {version: sha256 of all its docstrings}}"""

HEAD = """\
# The packages whose docstrings the bases are trained on: {version: sha256 of all docstrings}.
# Another version, or other docstrings, is an error. Delete this file to record the ones that are installed.
"""


def check_corpus(facts: dict[str, Any], path: str | Path) -> None:
    """Compare the facts of a corpus with the record, or write the record where there is none.

    Raises UserError that names the package, the version found, the version wanted, and what to do.
    """
    path = Path(path)
    found = facts["packages"]
    if not path.exists():
        storage.write_text(path, _yaml({name: {it["version"]: it["sha256"]} for name, it in found.items()}))
        return
    record = read_record(path)
    anew = f"edit text.packages in params.yaml and delete {path} to record anew"
    for name, it in found.items():
        known = record.get(name)
        if known is None:
            raise UserError(
                f"{path} does not know the package {name!r} of text.packages in params.yaml "
                f"(it knows {', '.join(record)}); remove it there, or delete {path} to record anew."
            )
        if it["version"] not in known:
            raise UserError(
                f"The corpus needs {name} {' or '.join(known)} ({path}), but {name} {it['version']} is installed; "
                f"run `make setup`, or {anew}."
            )
        if it["sha256"] != known[it["version"]]:
            raise UserError(
                f"The docstrings of {name} {it['version']} are not those recorded in {path} "
                f"(sha256 {it['sha256'][:12]}..., wanted {known[it['version']][:12]}...), so its files were changed; "
                f"run `make setup`, or {anew}."
            )


def read_record(path: Path) -> Record:
    """The record as {package: {version: sha256}}."""
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return {str(name): {str(version): str(digest) for version, digest in it.items()} for name, it in values.items()}
    except (YAMLError, UnicodeDecodeError, AttributeError):
        raise UserError(
            f"{path} is not a record of packages ({{package: {{version: sha256}}}}); restore it with "
            f"`git checkout -- {path}`, or delete it to record anew."
        ) from None


def _yaml(record: Record) -> str:
    lines = [HEAD]
    for name, versions in record.items():
        lines += [f"{name}:\n", *(f'  "{version}": {digest}\n' for version, digest in versions.items())]
    return "".join(lines)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import resonance.text


def test_no_module_of_text_loads_torch_or_transformers() -> None:
    names = [f"resonance.text.{path.stem}" for path in Path(resonance.text.__path__[0]).glob("[!_]*.py")]
    code = f"import sys, {', '.join(names)}; print(*({{'torch', 'transformers'}} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "\n"

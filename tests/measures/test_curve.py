from pathlib import Path

import pandas as pd
import pyarrow as pa

from resonance.measures.curve import write_curve
from resonance.storage import write_table


def test_the_curve_is_the_mean_over_directions_and_runs(tmp_path: Path) -> None:
    rows = {"a": [(1, 2.0), (1, 4.0), (2, 1.0)], "b": [(1, 6.0), (1, 8.0), (2, 3.0)]}
    for name, values in rows.items():
        cycle, loss = zip(*values, strict=True)
        write_table(tmp_path / name, pa.table({"cycle": cycle, "loss": loss}), {"kind": "log"})
    write_curve([tmp_path / "a", tmp_path / "b"], tmp_path / "curve.tsv")
    assert (tmp_path / "curve.tsv").read_text() == "cycle\tloss\n1\t5\n2\t2\n"
    assert pd.read_csv(tmp_path / "curve.tsv", sep="\t")["loss"].tolist() == [5.0, 2.0]

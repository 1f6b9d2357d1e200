"""`vlm_pc` with a planner that knows the way: examples/planner_server.py. By `make planner`.

    python benchmarks/planner.py --readme docs/adapters/vlm_pc.md

writes every life into eval/reference/planner.csv and the table into the document. Such a planner is an upper
bound for language models, and shows what the named skills can do.
"""

import argparse
import itertools
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import torch
from tables import fill, table, write_csv
from tqdm import tqdm

import slrl

sys.path.append(str(Path(__file__).parents[1] / "examples"))
from planner_server import Handler

SCENARIO = "maze_blocked"


def main() -> None:
    """Live, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(2000, 2010)), help="of the lives")
    parser.add_argument("--pretrainings", type=int, nargs="+", default=[0], help="seeds of the skills")
    parser.add_argument("--life-steps", type=int, default=10_000)
    parser.add_argument("--runs", type=Path, default=Path("runs/planner"))
    parser.add_argument("--readme", type=Path, default=None, help="also write the table there, and the CSV")
    parser.add_argument("--reference", type=Path, default=Path("eval/reference"), help="folder of the CSV")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    rows = []
    pairs = list(itertools.product(arguments.pretrainings, arguments.seeds))
    for pretraining, seed in tqdm(pairs, desc="lives", unit="life"):
        for name, asked in (("vlm_pc, a map", [("planner.url", url)]), ("vlm_pc, nobody to ask", [])):
            result = slrl.adapt(
                SCENARIO,
                adapter="vlm_pc",
                seed=seed,
                life_steps=arguments.life_steps,
                overrides=[("pretrain.seed", pretraining), *asked],
                out=arguments.runs / name.partition(", ")[2].replace(" ", "_") / f"pretraining-{pretraining}",
            )
            known = {key: result.versions[key] for key in ("torch", "mujoco")}
            rows.append({**vars(result), **known, "adapter": name, "pretraining": pretraining})
    server.shutdown()
    text = table(rows)
    print(text)
    if arguments.readme:
        write_csv(arguments.reference / "planner.csv", rows)
        fill(arguments.readme, "planner", text)


if __name__ == "__main__":
    main()

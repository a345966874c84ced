"""Run the emulator as a process: `python -m local.cloudflare --data DIR`.

It prints one JSON line when it is ready, and ends on SIGINT, on SIGTERM, or when its parent does.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from local.cloudflare.emulator import ACCOUNT_ID, API_TOKEN, Emulator


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.cloudflare", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the account's state")
    parser.add_argument("--port", type=int, default=0, help="port of the API (0: any)")
    parser.add_argument("--workers-port", type=int, default=0, help="port of the Workers (0: any)")
    parser.add_argument("--account-id", default=ACCOUNT_ID)
    # In the environment rather than here: arguments are seen by every user of the machine.
    parser.add_argument("--api-token-variable", default="EMULATOR_API_TOKEN")
    parser.add_argument("--calls", type=int, default=1200, help="calls allowed in a window")
    parser.add_argument("--window", type=float, default=300.0, help="seconds of a window")
    return parser.parse_args()


def main() -> int:
    """Serve until told to stop."""
    args = _arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    emulator = Emulator(
        args.data,
        port=args.port,
        workers_port=args.workers_port,
        account_id=args.account_id,
        api_token=os.environ.get(args.api_token_variable, API_TOKEN),
        calls=args.calls,
        window=args.window,
    )
    emulator.start()
    ready = {
        "base_url": emulator.base_url,
        "account_id": emulator.account.account_id,
        "control_url": emulator.control_url,
        "workers_url": emulator.workers_url,
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    while not ended.wait(0.5) and os.getppid() == parent:
        pass
    emulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

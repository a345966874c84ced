"""Run the state table's contract tests on moto and on AWS's DynamoDB Local; both must agree.

Run as `python tests/dynamodb_local/run.py [pytest arguments]`, with Java 17 or newer on the path,
and Maven the first time. Ends with 0 when all tests passed on both engines, equally many.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
POM = HERE / "pom.xml"
JARS = ROOT / ".tools" / "dynamodb-local"
MAIN = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
READY_WITHIN = 30.0


def main(arguments: list[str]) -> int:
    """Run the tests on both engines; return the exit status."""
    if shutil.which("java") is None:
        _say("DynamoDB Local needs Java 17 or newer: `java` is not on the path", sys.stderr)
        return 1
    passed: dict[str, int] = {}
    with _dynamodb_local(_installed()) as url:
        for engine, more in (("moto", {}), ("DynamoDB Local", {"DYNAMODB_LOCAL_URL": url})):
            count = _passed(engine, arguments, more)
            if count is None:
                return 1
            passed[engine] = count
    told = ", ".join(f"{count} passed on {engine}" for engine, count in passed.items())
    _say(f"contract tests of the state table: {told}")
    if len(set(passed.values())) != 1 or 0 in passed.values():
        _say("the engines did not run the same tests", sys.stderr)
        return 1
    return 0


def _say(line: str, where: TextIO = sys.stdout) -> None:
    where.write(line + "\n")
    where.flush()


def _installed() -> Path:
    """Return the folder of the jars, fetched from Maven Central unless they are there."""
    wanted = JARS / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if wanted.is_dir():
        return wanted
    if shutil.which("mvn") is None:
        raise SystemExit("fetching DynamoDB Local needs Maven: `mvn` is not on the path")
    _say("fetching DynamoDB Local")
    JARS.mkdir(parents=True, exist_ok=True)
    # Renamed when it is whole: a fetch that was cut off leaves nothing that looks installed.
    with tempfile.TemporaryDirectory(dir=JARS) as folder:
        fetched = Path(folder) / "lib"
        goal = "dependency:copy-dependencies"
        command = ["mvn", "-q", "-B", "-f", str(POM), goal, f"-DoutputDirectory={fetched}"]
        subprocess.run(command, check=True)
        fetched.rename(wanted)
    return wanted


@contextmanager
def _dynamodb_local(jars: Path) -> Iterator[str]:
    """Start the engine on a free port, empty, and end it afterwards."""
    port = _free_port()
    command = ["java", "-Xmx512m", f"-Djava.library.path={jars}", "-cp", f"{jars}/*", MAIN]
    command += ["-inMemory", "-disableTelemetry", "-port", str(port)]
    with tempfile.TemporaryFile() as log:
        engine = subprocess.Popen(command, cwd=jars, stdout=log, stderr=log)
        try:
            if not _answers(port, engine):
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))
                raise SystemExit("DynamoDB Local did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            engine.terminate()
            try:
                engine.wait(timeout=10)
            except subprocess.TimeoutExpired:
                engine.kill()
                engine.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, engine: "subprocess.Popen[bytes]") -> bool:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until and engine.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _passed(engine: str, arguments: list[str], more: dict[str, str]) -> int | None:
    """Run the tests on one engine; return how many passed, or None if any did not."""
    _say(f"contract tests of the state table on {engine}")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment.pop("DYNAMODB_LOCAL_URL", None)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "tests/store", "-q", "-p", "no:cacheprovider"]
        command += [f"--junit-xml={report}", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment | more, check=False)
        if done.returncode != 0:
            return None
        counts = ET.parse(report).getroot()[0].attrib
    return int(counts["tests"]) - sum(int(counts[k]) for k in ("failures", "errors", "skipped"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

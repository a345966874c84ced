"""The configuration of one front: every running Worker of the account in one workerd."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cloudflare import capnp
from local.cloudflare.models import Binding, Module, Version

__all__ = ["IN_NAMESPACE", "READY", "Blame", "FrontContext", "Running", "blame", "front_config"]

READY = "-ready"
IN_NAMESPACE = "."  # `prod.tenant-1`: no script of the account has a dot in its name
SECOND = "~2"  # `app~2`: the other version of a gradual rollout; no script's name has a tilde
_DISPATCH = "emulator:dispatch"
_RUNTIME = Path(__file__).parent / "runtime"
_MODULE_FIELDS = {
    "application/javascript+module": "esModule",
    "text/javascript+module": "esModule",
    "application/javascript": "commonJsModule",
    "text/javascript": "commonJsModule",
    "application/wasm": "wasm",
    "text/plain": "text",
    "application/octet-stream": "data",
    "application/json": "json",
}


@dataclass(frozen=True)
class Running:
    """One Worker of a front. `enabled`: it has a public address.

    `second` is another version that is deployed beside it, with its percentage of the requests.
    """

    name: str
    version: Version
    enabled: bool
    second: tuple[Version, float] | None = None


@dataclass(frozen=True)
class FrontContext:
    """What a front's configuration refers to, beside its Workers."""

    host_port: int
    newest_date: str
    modules: Path
    folder: Path
    broken_entrypoints: Collection[tuple[str, str]] = ()  # (script, name) that do not exist


@dataclass(frozen=True)
class Blame:
    """Say what made a front fail: a script, or an entrypoint that a script does not have."""

    script: str
    entrypoint: str | None
    message: str


_SCRIPT_FAILED = re.compile(r"service w:([^:\s]+): (.*)", re.DOTALL)
_NO_ENTRYPOINT = re.compile(
    r'named entrypoint "([^"]*)", but "w:([^"]+)" has no such named entrypoint'
)


def blame(complaint: str) -> Blame | None:
    """Read from workerd's complaint whose fault it is, if it says so."""
    if match := _NO_ENTRYPOINT.search(complaint):
        return Blame(match[2], match[1], complaint)
    if match := _SCRIPT_FAILED.search(complaint):
        return Blame(match[1].removesuffix(SECOND), None, match[2].strip())
    return None


def front_config(workers: Iterable[Running], context: FrontContext) -> str:
    """Write the configuration of a front; each Worker's socket has the script's name."""
    listed = list(workers)
    running = {worker.name: worker for worker in listed}
    services = [
        _worker(f"{worker.name}{suffix}", version, running, context)
        for worker in listed
        for suffix, version in _versions(worker)
    ]
    services += _splitters(running, context)
    services.append(
        _service(
            "mux",
            worker=_plumbing(
                "d1_mux.js", [capnp.record(name=capnp.text("HOST"), service=capnp.text("host"))]
            ),
        )
    )
    services.append(_service("unavailable", worker=_plumbing("unavailable.js", [])))
    services.append(
        _service(
            "host",
            external=capnp.record(
                address=capnp.text(f"127.0.0.1:{context.host_port}"), http=capnp.record()
            ),
        )
    )
    services.append(
        _service(
            "internet",
            network=capnp.record(
                allow=capnp.bracket([capnp.text("public"), capnp.text("private")]),
                tlsOptions=capnp.record(trustBrowserCas="true"),
            ),
        )
    )
    sockets = [
        capnp.record(
            name=capnp.text(worker.name),
            address=capnp.text("127.0.0.1:0"),
            service=_designated(worker, None),
            http=capnp.record(),
        )
        for worker in listed
    ]
    # Without any socket workerd could not say that it is ready.
    sockets.append(
        capnp.record(
            name=capnp.text(READY),
            address=capnp.text("127.0.0.1:0"),
            service=capnp.text("unavailable"),
            http=capnp.record(),
        )
    )
    dispatch = capnp.record(
        name=capnp.text(_DISPATCH),
        esModule=capnp.text((_RUNTIME / "dispatch.js").read_text()),
        internal="true",
    )
    return capnp.config(
        services=capnp.bracket(services),
        sockets=capnp.bracket(sockets),
        extensions=capnp.bracket([capnp.record(modules=capnp.bracket([dispatch]))]),
    )


def _service(name: str, **kind: str) -> str:
    return capnp.record(name=capnp.text(name), **kind)


def _plumbing(source: str, bindings: list[str]) -> str:
    module = capnp.record(
        name=capnp.text(source), esModule=capnp.text((_RUNTIME / source).read_text())
    )
    return capnp.record(
        modules=capnp.bracket([module]),
        compatibilityDate=capnp.text("2026-04-01"),
        bindings=capnp.bracket(bindings),
    )


def _versions(worker: Running) -> list[tuple[str, Version]]:
    """Return what tells the versions of a Worker apart in the names of services, and each."""
    second = [] if worker.second is None else [(SECOND, worker.second[0])]
    return [("", worker.version), *second]


def _splitters(running: Mapping[str, Running], context: FrontContext) -> list[str]:
    """Return what stands before each Worker with two versions, and before their entrypoints."""
    bound = {
        (str(item["service"]), str(item["entrypoint"]))
        for worker in running.values()
        for _, version in _versions(worker)
        for item in version.bindings
        if item["type"] == "service" and item.get("entrypoint") not in {None, "", "default"}
    }
    services = []
    for worker in running.values():
        if worker.second is None:
            continue
        for entrypoint in (None, *sorted(each for name, each in bound if name == worker.name)):
            bindings = [
                capnp.record(
                    name=capnp.text(name),
                    service=_version_of(f"{worker.name}{suffix}", entrypoint, context),
                )
                for name, (suffix, _) in zip(("FIRST", "SECOND"), _versions(worker), strict=True)
            ]
            share = capnp.record(name=capnp.text("SHARE"), text=capnp.text(str(worker.second[1])))
            plumbing = _plumbing("split.js", [*bindings, share])
            services.append(_service(_splitter(worker.name, entrypoint), worker=plumbing))
    return services


def _splitter(name: str, entrypoint: str | None) -> str:
    return f"split:{name}" if entrypoint is None else f"split:{name}:{entrypoint}"


def _designated(worker: Running, entrypoint: str | None) -> str:
    """Return the name under which a front has a Worker, however many versions of it run."""
    if worker.second is not None:
        return capnp.text(_splitter(worker.name, entrypoint))
    return capnp.text(f"w:{worker.name}")


def _version_of(service: str, entrypoint: str | None, context: FrontContext) -> str:
    """Return one version of a Worker as the target of a binding."""
    fields = {"name": capnp.text(f"w:{service}")}
    if entrypoint is not None:
        if (service, entrypoint) in context.broken_entrypoints:
            return _unavailable(
                f"the Worker {service.removesuffix(SECOND)} has no entrypoint {entrypoint}"
            )
        fields["entrypoint"] = capnp.text(entrypoint)
    return capnp.record(**fields)


def _worker(
    name: str, version: Version, running: Mapping[str, Running], context: FrontContext
) -> str:
    # The local workerd is older than the newest date that Cloudflare takes.
    date = min(version.compatibility_date, context.newest_date)
    fields = {
        "compatibilityDate": capnp.text(date),
        "compatibilityFlags": capnp.bracket(map(capnp.text, version.compatibility_flags)),
        "bindings": capnp.bracket(
            text for item in version.bindings if (text := _binding(item, running, context))
        ),
    }
    if version.code.syntax == "service-worker":
        fields["serviceWorkerScript"] = _embed(version.code.modules[0], context)
    else:
        fields["modules"] = capnp.bracket(
            capnp.record(
                name=capnp.text(module.name),
                **{_MODULE_FIELDS[module.content_type]: _embed(module, context)},
            )
            for module in version.code.modules
            if module.content_type in _MODULE_FIELDS
        )
    return _service(f"w:{name}", worker=capnp.record(**fields))


def _embed(module: Module, context: FrontContext) -> str:
    path = os.path.relpath(context.modules / module.sha256, context.folder)
    return f"embed {capnp.text(path)}"


def _binding(item: Binding, running: Mapping[str, Running], context: FrontContext) -> str:
    kind = item["type"]
    if kind in {"plain_text", "secret_text"}:
        return _named(item, text=capnp.text(item["text"]))
    if kind == "json":
        return _named(item, json=capnp.json_text(item["json"]))
    if kind == "version_metadata":
        return _named(item, json=capnp.json_text({"id": "", "tag": "", "timestamp": ""}))
    if kind == "d1":
        return _named(item, wrapped=_d1(item["database_id"]))
    if kind == "service":
        return _named(item, service=_target(item, running, context))
    if kind == "dispatch_namespace":
        return _named(item, wrapped=_dispatch(item["namespace"], running))
    return _named(item, service=_unavailable(f"the emulator does not run {kind} bindings"))


def _named(item: Binding, **value: str) -> str:
    return capnp.record(name=capnp.text(item["name"]), **value)


def _d1(uuid: str) -> str:
    mux = _designator("mux", {"id": uuid})
    return capnp.record(
        moduleName=capnp.text("cloudflare-internal:d1-api"),
        innerBindings=capnp.bracket([capnp.record(name=capnp.text("fetcher"), service=mux)]),
    )


def _dispatch(namespace: str, names: Collection[str]) -> str:
    prefix = f"{namespace}{IN_NAMESPACE}"
    scripts = [
        capnp.record(name=capnp.text(name.removeprefix(prefix)), service=capnp.text(f"w:{name}"))
        for name in names
        if name.startswith(prefix)
    ]
    return capnp.record(moduleName=capnp.text(_DISPATCH), innerBindings=capnp.bracket(scripts))


def _designator(service: str, props: Mapping[str, Any]) -> str:
    return capnp.record(
        name=capnp.text(service), props=capnp.record(json=capnp.json_text(dict(props)))
    )


def _unavailable(reason: str) -> str:
    return _designator("unavailable", {"reason": reason})


def _target(item: Binding, running: Mapping[str, Running], context: FrontContext) -> str:
    service, entrypoint = item["service"], item.get("entrypoint") or None
    if entrypoint == "default":
        entrypoint = None
    if service not in running:
        return _unavailable(f"the Worker {service} does not run")
    if running[service].second is not None:
        return capnp.record(name=_designated(running[service], entrypoint))
    return _version_of(service, entrypoint, context)

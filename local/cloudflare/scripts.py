"""The account's Workers: uploads, versions, deployments, settings, secrets.

Every method answers as the API does, by raising `ApiError`; the routes only parse and render.
`scope` keeps the documents of a dispatch namespace's scripts apart from the account's own.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from local.cloudflare.account import Account
from local.cloudflare.bindings import KEPT_BY_DEFAULT, SECRET_TYPES, Resolver
from local.cloudflare.envelope import ApiError
from local.cloudflare.models import Binding, Code, Deployment, Script, Version
from local.cloudflare.store import Store

__all__ = ["ScriptHooks", "Scripts", "not_found"]

MOST_VERSIONS = 100
VERSIONED = ("cache_options", "limits", "placement", "usage_model")
UNVERSIONED = ("logpush", "observability", "tags", "tail_consumers")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DEFAULT_DATE = "2021-11-02"


@dataclass(frozen=True)
class ScriptHooks:
    """What scripts ask of the rest of the emulator.

    `validate` starts a version alone and returns what is wrong with it; `changed` says that what
    runs may have changed.
    """

    database_exists: Callable[[str], bool]
    service_exists: Callable[[str], bool]
    namespace_exists: Callable[[str], bool]
    validate: Callable[[Version], str | None]
    changed: Callable[[], None]


@dataclass
class Scripts:
    """Keep scripts by name. Safe to share between threads."""

    account: Account
    store: Store
    hooks: ScriptHooks
    scope: str = ""
    by_name: dict[str, Script] = field(default_factory=dict)
    versions: dict[str, list[Version]] = field(default_factory=dict)  # the oldest first

    def load(self) -> None:
        """Read what the store remembers."""
        for _, body in self.store.all(f"script{self.scope}"):
            script = Script.model_validate_json(body)
            self.by_name[script.name] = script
            self.versions[script.name] = []
        for key, body in self.store.all(f"version{self.scope}"):
            self.versions[key.split("/")[0]].append(Version.model_validate_json(body))
        for versions in self.versions.values():
            versions.sort(key=lambda version: version.number)

    def get(self, name: str) -> Script:
        """Find a script; 10007 when there is none."""
        script = self.by_name.get(name)
        if script is None:
            raise not_found(name)
        return script

    def latest(self, name: str) -> Version:
        """Return the newest version, deployed or not."""
        self.get(name)
        return self.versions[name][-1]

    def deployed(self, name: str) -> Version:
        """Return the version that runs, or the newest one while none is deployed."""
        script = self.get(name)
        if not script.deployments:
            return self.latest(name)
        return self.version(name, script.deployments[0].main_version)

    def second(self, name: str) -> tuple[Version, float] | None:
        """Return the other version of a gradual rollout, with its percentage."""
        deployments = self.get(name).deployments
        other = deployments[0].other_version if deployments else None
        return None if other is None else (self.version(name, other[0]), other[1])

    def version(self, name: str, version_id: str) -> Version:
        """Find a version by id; 10007 when there is none."""
        self.get(name)
        for version in self.versions[name]:
            if version.id == version_id:
                return version
        raise ApiError(404, 10007, f"Version {version_id} of {name} not found.")

    def upload(
        self,
        name: str,
        metadata: dict[str, Any],
        code: Code,
        *,
        source: str,
        deploy: bool,
        strict: bool = False,
    ) -> Version:
        """Make a version out of an upload, and deploy it if asked; the first makes the script."""
        if not _NAME.fullmatch(name):
            raise ApiError(400, 10016, f"invalid Worker name '{name}'")
        with self.account.lock:
            previous = self.latest(name) if name in self.by_name else None
            if previous is None and not deploy:
                raise not_found(name)
            keep = KEPT_BY_DEFAULT | frozenset(_strings(metadata, "keep_bindings"))
            draft = self._draft(
                previous,
                metadata,
                source=source,
                code=code,
                bindings=self._resolver(name, previous, strict=strict).resolve(
                    [] if metadata.get("bindings") is None else metadata["bindings"], keep
                ),
            )
        self._validate(draft)
        with self.account.lock:
            script = self.by_name.get(name) or self._new_script(name)
            self._set_unversioned(script, metadata)
            version = self._add(script, draft)
            if deploy:
                self._deploy(
                    script, ((version.id, 100.0),), source, {"workers/triggered_by": "upload"}
                )
            self._save(script)
        self.hooks.changed()
        return version

    def patch_settings(self, name: str, patch: dict[str, Any], *, source: str) -> None:
        """Make and deploy a version with other settings; `bindings`, if given, replace all."""
        with self.account.lock:
            previous = self._must_be_deployed(name, 10214, "settings")
            bindings = previous.bindings
            if "bindings" in patch:
                bindings = self._resolver(name, previous).resolve(patch["bindings"])
            draft = self._draft(
                previous, patch, source=source, code=previous.code, bindings=bindings
            )
        if (draft.compatibility_date, draft.compatibility_flags) != (
            previous.compatibility_date,
            previous.compatibility_flags,
        ):
            self._validate(draft)
        with self.account.lock:
            script = self.get(name)
            self._set_unversioned(script, patch)
            version = self._add(script, draft)
            self._deploy(
                script, ((version.id, 100.0),), source, {"workers/triggered_by": "settings"}
            )
            self._save(script)
        self.hooks.changed()

    def replace_code(self, name: str, code: Code, *, source: str) -> Version:
        """Make and deploy a version with other code and the same bindings."""
        previous = self.latest(name)
        draft = self._draft(previous, {}, source=source, code=code, bindings=previous.bindings)
        self._validate(draft)
        with self.account.lock:
            script = self.get(name)
            version = self._add(script, draft)
            self._deploy(script, ((version.id, 100.0),), source, {"workers/triggered_by": "upload"})
            self._save(script)
        self.hooks.changed()
        return version

    def set_secret(self, name: str, secret: Binding | str, *, source: str) -> None:
        """Put a secret (its binding), or delete one (its name), as a version of its own."""
        with self.account.lock:
            previous = self._must_be_deployed(name, 10215, "a secret")
            wanted = secret if isinstance(secret, str) else secret.get("name")
            old = previous.binding(str(wanted))
            if isinstance(secret, str):
                if old is None or old["type"] not in SECRET_TYPES:
                    raise ApiError(404, 10056, f"Binding {secret} not found")
                added: tuple[Binding, ...] = ()
            else:
                if old is not None and old["type"] not in SECRET_TYPES:
                    raise ApiError(400, 10053, f"Binding name '{wanted}' already in use.")
                added = self._resolver(name, previous).resolve([secret])
            kept = tuple(item for item in previous.bindings if item["name"] != wanted)
            draft = self._draft(
                previous, {}, source=source, code=previous.code, bindings=kept + added
            )
            script = self.get(name)
            version = self._add(script, draft)
            self._deploy(script, ((version.id, 100.0),), source, {"workers/triggered_by": "secret"})
            self._save(script)
        self.hooks.changed()

    def deploy(self, name: str, request: dict[str, Any], *, source: str) -> Deployment:
        """Deploy one version, or two with shares that make 100."""
        listed = request.get("versions")
        if not isinstance(listed, list) or not 1 <= len(listed) <= 2:
            raise ApiError(400, 10021, "a deployment has one or two versions")
        shares: list[tuple[str, float]] = []
        for item in listed:
            if not isinstance(item, dict) or not isinstance(item.get("percentage"), int | float):
                raise ApiError(400, 10021, "each version needs a version_id and a percentage")
            shares.append((str(item.get("version_id")), float(item["percentage"])))
        if sum(share for _, share in shares) != 100:
            raise ApiError(400, 10021, "the percentages of a deployment must add up to 100")
        with self.account.lock:
            for version_id, _ in shares:
                self.version(name, version_id)
            script = self.get(name)
            notes = {"workers/triggered_by": "deployment", **_annotations(request)}
            deployment = self._deploy(script, tuple(shares), source, notes)
            self._save(script)
        self.hooks.changed()
        return deployment

    def set_unversioned(self, name: str, patch: dict[str, Any]) -> Script:
        """Change what is not part of a version: logpush, observability, tags, tail_consumers."""
        with self.account.lock:
            script = self.get(name)
            self._set_unversioned(script, patch)
            self._save(script)
            return script

    def update(self, name: str, **fields: Any) -> Script:
        """Set fields of the script itself, such as whether it has a public address."""
        with self.account.lock:
            script = self.get(name)
            for key, value in fields.items():
                setattr(script, key, value)
            self._save(script)
        self.hooks.changed()
        return script

    def delete(self, name: str, *, force: bool) -> None:
        """Remove a script; 10142 while another one is bound to it, unless forced."""
        with self.account.lock:
            self.get(name)
            bound = [
                other
                for other in self.by_name
                if other != name
                and any(
                    item["type"] == "service" and item["service"] == name
                    for item in self.deployed(other).bindings
                )
            ]
            if bound and not force:
                raise ApiError(
                    400,
                    10142,
                    f"Cannot delete this Worker as it is bound to by: {', '.join(sorted(bound))}",
                )
            del self.by_name[name]
            for version in self.versions.pop(name):
                self.store.delete(f"version{self.scope}", f"{name}/{version.id}")
            self.store.delete(f"script{self.scope}", name)
        self.hooks.changed()

    def _resolver(self, name: str, previous: Version | None, *, strict: bool = False) -> Resolver:
        def find(version_id: str) -> Version | None:
            return next((v for v in self.versions.get(name, ()) if v.id == version_id), None)

        return Resolver(
            previous=previous,
            database_exists=self.hooks.database_exists,
            service_exists=lambda service: service == name or self.hooks.service_exists(service),
            namespace_exists=self.hooks.namespace_exists,
            version=find,
            strict=strict,
        )

    def _must_be_deployed(self, name: str, code: int, what: str) -> Version:
        latest = self.latest(name)
        deployments = self.get(name).deployments
        if not deployments or deployments[0].versions != ((latest.id, 100.0),):
            raise ApiError(
                400,
                code,
                f"You attempted to modify {what}, but the latest version of your Worker "
                "isn't currently deployed.",
            )
        return latest

    def _draft(
        self,
        previous: Version | None,
        fields: dict[str, Any],
        *,
        source: str,
        code: Code,
        bindings: tuple[Binding, ...],
    ) -> Version:
        date = fields.get("compatibility_date")
        flags = _strings(fields, "compatibility_flags")
        if "compatibility_date" not in fields:
            date = previous.compatibility_date if previous else _DEFAULT_DATE
        if "compatibility_flags" not in fields and previous:
            flags = previous.compatibility_flags
        if not isinstance(date, str) or not _DATE.fullmatch(date) or date > self.account.now()[:10]:
            raise ApiError(400, 10021, f"Invalid compatibility date: {date}")
        runtime = dict(previous.runtime) if previous else {"usage_model": "standard"}
        runtime.update({key: fields[key] for key in VERSIONED if key in fields})
        return Version(
            id=str(uuid4()),
            number=0,
            created_on=self.account.now(),
            source=source,
            annotations=_annotations(fields),
            code=code,
            bindings=bindings,
            compatibility_date=date,
            compatibility_flags=flags,
            runtime=runtime,
        )

    def _validate(self, version: Version) -> None:
        complaint = self.hooks.validate(version)
        if complaint is not None:
            raise ApiError(400, 10021, complaint)

    def _new_script(self, name: str) -> Script:
        now = self.account.now()
        script = Script(name=name, tag=uuid4().hex, created_on=now, modified_on=now)
        self.by_name[name] = script
        self.versions[name] = []
        return script

    def _add(self, script: Script, draft: Version) -> Version:
        version = draft.model_copy(update={"number": script.next_number})
        script.next_number += 1
        self.versions[script.name].append(version)
        kind = f"version{self.scope}"
        self.store.put(kind, f"{script.name}/{version.id}", version.model_dump_json())
        return version

    def _deploy(
        self,
        script: Script,
        versions: tuple[tuple[str, float], ...],
        source: str,
        annotations: dict[str, str],
    ) -> Deployment:
        now = self.account.now()
        deployment = Deployment(
            id=str(uuid4()),
            created_on=now,
            source=source,
            versions=versions,
            annotations=annotations,
        )
        script.deployments = [deployment, *script.deployments][:MOST_VERSIONS]
        script.modified_on = now
        script.last_deployed_from = source
        return deployment

    def _save(self, script: Script) -> None:
        """Write a script down, and forget versions that are old and not deployed."""
        self.store.put(f"script{self.scope}", script.name, script.model_dump_json())
        versions = self.versions[script.name]
        current = {pair[0] for pair in script.deployments[0].versions} if script.deployments else ()
        while len(versions) > MOST_VERSIONS and versions[0].id not in current:
            old = versions.pop(0)
            self.store.delete(f"version{self.scope}", f"{script.name}/{old.id}")

    @staticmethod
    def _set_unversioned(script: Script, fields: dict[str, Any]) -> None:
        script.unversioned.update({key: fields[key] for key in UNVERSIONED if key in fields})


def not_found(name: str) -> ApiError:
    """Return the error of a Worker that is not there."""
    return ApiError(404, 10007, f"This Worker does not exist on your account. ({name})")


def _strings(fields: dict[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ApiError(400, 10021, f"{key} must be a list of strings")
    return tuple(value)


def _annotations(fields: dict[str, Any]) -> dict[str, str]:
    value: Collection[str] | dict[str, Any] = fields.get("annotations") or {}
    if not isinstance(value, dict):
        raise ApiError(400, 10021, "annotations must be an object")
    for key, most in (("workers/message", 1000), ("workers/tag", 100)):
        if len(str(value.get(key, "")).encode()) > most:
            raise ApiError(400, 10021, f"annotation {key} is over {most} bytes")
    return {str(key): str(text) for key, text in value.items() if text is not None}

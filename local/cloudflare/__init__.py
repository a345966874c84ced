"""Emulate one Cloudflare account on this machine: the REST API, D1, and Workers that really run.

    emulator = Emulator(Path("state")).start()
    emulator.base_url      # http://127.0.0.1:…/client/v4
    emulator.control_url   # http://127.0.0.1:…/__emulator
    emulator.workers_url   # http://127.0.0.1:…, a Worker answers at {workers_url}/{script}/…

`python -m local.cloudflare --data DIR` is the same as a process; it prints one JSON line when it is
ready.
`httpx.WSGITransport(Emulator(dir).app)` is the API in-process, without running Workers.

What is emulated
    D1: create, list, get by uuid or name, update, delete, query, raw, export, import, time travel.
    SQL runs in workerd, in the D1 simulator of the miniflare package: one process owns all files.
    Workers: upload, settings, versions, deployments, secrets, subdomain, content, deletion.
    Running Workers live in one workerd per generation; a switch in front sends each request to the
    newest one, and the one before ends when its last request has. The API commits first; what runs
    follows within a tenth of a second or so (`settle()` waits for it).
    Dispatch namespaces: their scripts, settings, secrets and tags; a dispatcher's binding reaches
    them. Pages: projects, the merge of their bindings, deployments that capture them, retry.
    Tokens with permission groups, the envelope, error codes, pagination, the rate limit and its
    headers.
    The control door `/__emulator`: `stats`, `reset`, `faults`, `latency`, `hold` as the README
    tells, and `GET routes`, `POST limits {"calls", "window", "databases"}`, `POST settle
    {"seconds"}`, `POST account {"subdomain"}`, `POST tokens {"token", "groups"}`. Routes are named
    as `PATCH /accounts/{a}/workers/scripts/{n}/settings`; the names in braces may be others.
    Setting faults or latencies replaces those set before; setting limits also empties the window.

Where it is known to differ from the real thing
    - Statuses of 7406 and 7502 (here 400) and the texts of messages are not verified against it.
    - `per_page` below 10 is taken; the documentation says 10 to 10,000.
    - Parameters together with several statements in one `sql` are refused (7500).
    - A query's 30 s limit, a database's size limit and the daily row limits do not exist.
    - Time travel goes back only to bookmarks that somebody asked for (the last 20 of a database)
      and to the empty start, not to any moment.
    - An export that nobody polls is cancelled after 15 s; how long the real one waits is not
      known.
    - A change of any Worker gives all Workers new isolates, so what they keep in memory is lost.
    - A gradual deployment runs the version with the greater share for every request.
    - KV, R2, queues, Durable Objects, assets and other bindings are kept, but using one fails.
    - Pages serve nothing: projects and deployments are kept, and stages move on when looked at.
    - Compatibility dates later than the local workerd knows run as the newest that it knows.
    - A Worker's URL has the emulator's host; WebSockets do not pass the switch; no cron triggers
      fire.
    - `caches` are not there; CPU and memory limits are not enforced.
    - All tokens share one rate limit; calls with a wrong token do not count towards it.
"""

from local.cloudflare.emulator import Emulator

__all__ = ["Emulator"]

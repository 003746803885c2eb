"""Time from a slider of the explorer to the frontier that is drawn anew, in headless Chromium.

    python benchmarks/explore_latency.py [INSTANCE] [--changes N]
    python benchmarks/explore_latency.py h100 --memory     # over 2,000 changes
    python benchmarks/explore_latency.py h100 --sessions   # twenty that move at once

Sliders are moved one step at a time, each once the frontier and the answer of the one before are
there, and then dragged: an event every 16 ms, as a hand makes them, each timed until a frontier of
its own or of a later position is on the screen.
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import Browser, running

SLIDERS = (
    "limits.power",
    "rack.accelerator.hbm_capacity",
    "rack.accelerator.hbm_bandwidth",
    "workload.prompt",
    "limits.min_speed",
)

MOVE = """
const [key, changes, every, done] = arguments;
const range = document.querySelector(`[data-key="${key}"] input[type=range]`);
const drawn = () => Number(document.body.dataset.drawn || 0);
const told = () => Number(document.body.dataset.told || 0);
const asked = () => Number(document.body.dataset.asked || 0);
const painted = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const begin = Number(range.value), times = [], waiting = [];
const observer = new MutationObserver(async () => {
  const reached = drawn();
  await painted();
  const now = performance.now();
  while (waiting.length && waiting[0].asked <= reached) { times.push(now - waiting.shift().begun); }
});
observer.observe(document.body, { attributes: true, attributeFilter: ["data-drawn"] });
for (let at = 1; at <= changes; at += 1) {
  range.value = begin - 120 + (at * 7) % 240;
  const begun = performance.now();
  range.dispatchEvent(new Event("input", { bubbles: true }));
  waiting.push({ asked: asked(), begun });
  if (every > 0) { await pause(every); }
  else { while (waiting.length || told() < asked()) { await pause(2); } await pause(20); }
}
while (waiting.length) { await pause(5); }
observer.disconnect();
range.value = begin;
range.dispatchEvent(new Event("input", { bubbles: true }));
await pause(1500);
done(times);
"""


def quantile(times: list[float], share: float) -> float:
    """Return the time that so large a share of times does not exceed."""
    return sorted(times)[min(int(share * len(times)), len(times) - 1)]


def main() -> None:
    """Print median, 95th percentile and longest time by slider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instance", nargs="?", default="gb200_nvl72")
    parser.add_argument("--changes", type=int, default=60, help="of each slider, in each way")
    parser.add_argument("--memory", action="store_true", help="megabytes over 2,000 changes")
    parser.add_argument("--sessions", action="store_true", help="times of twenty sessions at once")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "hbmopt", "explore", asked.instance, "--no-browser"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as server,
        tempfile.TemporaryDirectory() as profile,
        running(profile) as browser,
    ):
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        if asked.sessions:
            sessions(address, asked.instance)
        else:
            browser.driver.set_script_timeout(600)
            browser.driver.get(address)
            browser.until("return document.body.dataset.settled", seconds=60)
            if asked.memory:
                memory(browser, server.pid, address, asked.instance)
            else:
                latency(browser, asked.changes)
        server.terminate()


def latency(browser: Browser, changes: int) -> None:
    """Print the times of each slider, a step at a time and dragged."""
    print(f"{'slider':<32} {'':<8} {'median':>8} {'p95':>8} {'longest':>8}  ms")
    for way, every in (("steps", 0), ("dragged", 16)):
        together = []
        for key in SLIDERS:
            times = browser.driver.execute_async_script(MOVE, key, changes, every)
            together += times
            print(row(key, way, times))
        print(row("all", way, together))


def memory(browser: Browser, server: int, address: str, instance: str) -> None:
    """Print what the server, its processes and the page hold over 2,000 changes.

    The page drags its sliders, and each of as many other changes is answered whole.
    """
    print(f"{'changes':>8} {'server':>8} {'processes':>10} {'page':>8}  MB")
    for done in range(0, 2001, 250):
        if done:
            key = SLIDERS[done // 250 % len(SLIDERS)]
            browser.driver.execute_async_script(MOVE, key, 250, 16)
            for at in range(done - 250, done):
                changes = {"rack.accelerator.hbm_capacity": f"{60 + 0.02 * at:.2f} GB"}
                for name in ("moving_line", "answer"):
                    asked_of(address, name, instance, changes)
        browser.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        page = browser.run("return performance.memory.usedJSHeapSize") / 1e6
        below = sum(resident(one) for one in children(server))
        print(f"{done:>8} {resident(server):8.0f} {below:10.0f} {page:8.1f}", flush=True)


def asked_of(address: str, name: str, instance: str, changes: dict[str, str]) -> None:
    """Ask a question of a curve, and wait for the answer."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.netloc)
    body = {"session": "memory", "curve": {"source": instance, "changes": changes}}
    connection.request("POST", place.path + name, json.dumps(body))
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    connection.close()


def children(process: int) -> list[int]:
    """Return the processes that one has begun, and those that these have."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    found = [int(one) for task in tasks for one in task.read_text(encoding="utf-8").split()]
    return found + [below for one in found for below in children(one)]


def resident(process: int) -> float:
    """Return the megabytes that a process alone holds."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    return sum(int(one) for one in re.findall(r"Private_\w+: +([0-9]+) kB", text)) / 1e3


def sessions(address: str, instance: str) -> None:
    """Print how long twenty sessions wait that each move a slider fifty times."""

    def session(number: int) -> list[float]:
        place, times = urlsplit(address), []
        connection = http.client.HTTPConnection(place.netloc)
        for at in range(50):
            changes = {"rack.accelerator.hbm_capacity": f"{60 + number + 0.3 * at:.1f} GB"}
            body = {"session": str(number), "curve": {"source": instance, "changes": changes}}
            begun = time.perf_counter()
            connection.request("POST", f"{place.path}line", json.dumps(body))
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            times.append(1e3 * (time.perf_counter() - begun))
        return times

    with ThreadPoolExecutor(20) as pool:
        times = [one for each in pool.map(session, range(20)) for one in each]
    print(f"{'':<41} {'median':>8} {'p95':>8} {'longest':>8}  ms")
    print(row("twenty sessions at once", "", times))


def row(name: str, way: str, times: list[float]) -> str:
    """Return a line of the table."""
    found = (quantile(times, 0.5), quantile(times, 0.95), max(times))
    return f"{name:<32} {way:<8} " + " ".join(f"{one:8.0f}" for one in found)


if __name__ == "__main__":
    main()

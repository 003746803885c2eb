"""Time from a slider of the explorer to the frontier that is drawn anew, in headless Chromium.

    python benchmarks/explore_latency.py [INSTANCE] [--changes N]

Sliders are moved one step at a time, each waiting for its frontier, and then dragged: an event
every 16 ms, as a hand makes them, each timed until a frontier of its own or of a later position is
on the screen.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser import running

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
  else { while (waiting.length) { await pause(2); } await pause(20); }
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
    asked = parser.parse_args()
    command = [sys.executable, "-m", "hbmopt", "explore", asked.instance, "--no-browser"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as server,
        tempfile.TemporaryDirectory() as profile,
        running(profile) as browser,
    ):
        assert server.stdout is not None
        browser.driver.get(server.stdout.readline().strip())
        browser.driver.set_script_timeout(300)
        browser.until("return document.body.dataset.settled")
        print(f"{'slider':<32} {'':<8} {'median':>8} {'p95':>8} {'longest':>8}  ms")
        for way, every in (("steps", 0), ("dragged", 16)):
            together = []
            for key in SLIDERS:
                times = browser.driver.execute_async_script(MOVE, key, asked.changes, every)
                together += times
                print(row(key, way, times))
            print(row("all", way, together))
        server.terminate()


def row(name: str, way: str, times: list[float]) -> str:
    """Return a line of the table."""
    found = (quantile(times, 0.5), quantile(times, 0.95), max(times))
    return f"{name:<32} {way:<8} " + " ".join(f"{one:8.0f}" for one in found)


if __name__ == "__main__":
    main()

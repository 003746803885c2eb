"""The explorer: its page in a browser, what it answers, and whom it lets in."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import browser as browsers
import hbmopt
from builders import ROOT
from hbmopt.documents import catalogue, shipped
from hbmopt.errors import InputError
from hbmopt.explorer.answering import KEPT, WITHIN, Answers
from hbmopt.explorer.controls import NUMBERS, controls, settled
from hbmopt.explorer.curve import Curve, Sources, curve_of, curves_in, fragment, sources_of
from hbmopt.explorer.taken_along import command_line, instance_yaml, python_lines

SOURCES = Sources()
FAST = "h100"
"""An instance whose frontier takes a few milliseconds."""


def curve(source=FAST, **changes):
    return Curve(source).changed(**changes)


# What a curve is, and what can be taken along of it.

keys = st.sampled_from(["limits.power", "llm", "rack", "workload", "economics.life"])
values = st.text(min_size=1, max_size=12).filter(lambda text: not text.startswith(("'", '"')))


@given(st.lists(st.dictionaries(keys, values, max_size=3), min_size=1, max_size=6))
def test_an_address_holds_the_whole_question(changes):
    plain = [{key: f"x{ord(value[0])} & = # %" for key, value in one.items()} for one in changes]
    asked = [Curve("h100", tuple(one.items())) for one in plain]
    assert curves_in(f"http://127.0.0.1:1/t/#per=mw&shown=1&{fragment(asked)}") == asked


def test_an_address_without_a_question_is_told():
    for address, said in (
        ("http://127.0.0.1:1/t/", "holds no question"),
        ("http://127.0.0.1:1/t/#curve=h100&set=limits.power", "set=KEY=VALUE"),
        ("http://127.0.0.1:1/t/#" + "&".join(["curve=h100"] * 7), "6 at most"),
    ):
        with pytest.raises(InputError, match=said):
            curves_in(address)


CHANGED = [
    ("gb200_nvl72", {}),
    ("gb200_nvl72", {"rack.accelerator.hbm_capacity": "150 GB", "limits.power": "90 kW"}),
    ("gb200_nvl72", {"rack": "helios", "rack.accelerator.hbm_bandwidth": "10 TB/s"}),
    ("rubin_nvl72_lpx", {"rack.offload.units": "128", "limits.min_speed": "300 tok/s/user"}),
    ("rubin_nvl72_lpx", {"rack.offload": "null"}),
    ("h100", {"rack.offload": "lpx", "rack.offload.device.sram_capacity": "1 GB"}),
    ("h100", {"llm": "qwen3_32b", "choices.kv_formats": "[bf16]", "workload.prompt": "4000"}),
    ("deepseek_r1_h200", {"economics.utilisation": "0.5", "rack.price": "0.4 MUSD"}),
]


@pytest.mark.parametrize(("source", "changes"), CHANGED)
def test_the_file_that_is_copied_asks_the_same(source, changes, tmp_path):
    asked = Curve(source, tuple(changes.items()))
    file = tmp_path / f"{source}.yaml"
    file.write_text(instance_yaml(SOURCES, asked), encoding="utf-8")
    copied = hbmopt.load(file)
    meant = hbmopt.load(source, asked.overrides)
    assert copied == meant.model_copy(update={"name": copied.name})


def test_the_lines_that_are_copied_give_the_same_answer():
    asked = curve(limits__power="8 kW", workload__prompt="4000")
    named = {}
    exec(python_lines(SOURCES, asked).replace("print(", "str("), named)
    made = named["solution"].throughput_tok_s
    command = command_line(SOURCES, asked) + " --format json"
    assert command.startswith("hbmopt solve h100 --set 'limits.power=8 kW'")
    ran = subprocess.run(
        [sys.executable, "-m", *command.replace("'", "").split(" ", 3)[:3]]
        + [part for one in asked.overrides for part in ("--set", one)]
        + ["--format", "json"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert json.loads(ran.stdout)["throughput_tok_s"] == pytest.approx(made, rel=1e-9)


def test_what_a_page_sends_is_checked():
    for wrong, said in (
        (None, "a curve is"),
        ({"source": 3}, "a curve is"),
        ({"source": "h100", "changes": {"a": 1}}, "texts by dotted key"),
        ({"source": "h100", "changes": {str(at): "1" for at in range(100)}}, "at most 60"),
        ({"source": "h100", "changes": {"a": "x" * 5000}}, "4000 letters"),
        ({"source": "h100", "changes": {"llm": "/etc/secrets.yaml"}}, "names a file"),
        ({"source": "h100", "changes": {"rack": "{base: ../mine.json}"}}, "names a file"),
    ):
        with pytest.raises(InputError, match=said):
            curve_of(wrong)
    with pytest.raises(InputError, match="did you mean 'h100'"):
        SOURCES.path("h10")


def test_files_of_ones_own_are_sources(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(shipped.text("h100"), encoding="utf-8")
    sources, curves = sources_of([mine, "gb200_nvl72"])
    assert [one.source for one in curves] == [str(mine), "gb200_nvl72"]
    assert sources.names[:1] == [str(mine)]
    assert sources.instance(curves[0]).llm == hbmopt.load("h100").llm


# What can be moved.


@pytest.mark.parametrize("source", sorted(shipped.names()))
def test_every_slider_and_list_may_be_moved(source):
    found = controls(SOURCES, Curve(source))
    assert {"rack", "llm", "limits.min_speed", "rack.accelerator.hbm_capacity"} <= {
        one["key"] for one in found
    }
    changes = {}
    for one in found:
        if one["kind"] == "slider":
            assert one["least"] < one["most"]
            assert one["value"] is None or one["value"] == 0 or one["least"] <= one["value"]
            value = 1 if one["whole"] else 0.7 * one["most"]
            changes[one["key"]] = f"{value} {one['unit']}".strip()
        elif one["key"] not in ("rack", "llm", "rack.offload"):
            changes[one["key"]] = one["options"][-1][0]
    moved = SOURCES.instance(Curve(source, tuple(changes.items())))
    for number in NUMBERS:
        if number.key in changes:
            asked = float(changes[number.key].split()[0])
            assert number.read(moved) == pytest.approx(asked), number.key


@pytest.mark.parametrize("source", ["gb200_nvl72", "gb200_drafting", "rubin_nvl72_lpx"])
def test_any_model_and_rack_of_the_catalogue_may_be_chosen(source):
    others = [("llm", name) for name in catalogue.names("llms")]
    others += [("rack", name) for name in catalogue.names("racks")]
    for key, name in others:
        asked = settled(SOURCES, Curve(source, ((key, name),)))
        assert SOURCES.instance(asked) is not None
        assert dict(asked.changes)[key] == name


# What is answered.


@pytest.fixture(scope="module")
def answers():
    return Answers(SOURCES)


@pytest.mark.parametrize("source", ["h100", "gb200_nvl72"])
def test_a_drawn_curve_is_the_frontier_to_three_per_mille(source, answers):
    exact = hbmopt.frontier(source, {"limits.min_speed": "1 tok/s/user"})
    drawn = hbmopt.frontier(source, {"limits.min_speed": "1 tok/s/user"}, within=WITHIN)
    assert len(drawn) <= len(exact)
    for speed in np.linspace(exact.speeds[0], exact.speeds[-1], 97):
        least = exact.throughput(speed) / (1.0 + WITHIN) * (1.0 - 1e-9)
        assert least <= drawn.throughput(speed) <= exact.throughput(speed) * (1.0 + 1e-9)
    line = answers.line(curve(source), "rack")
    speeds = [point["speed"] for point in line["points"]]
    assert speeds == sorted(speeds)
    assert speeds[-1] == pytest.approx(exact.speeds[-1])
    for point in line["points"]:
        assert point["throughput"] == pytest.approx(drawn.throughput(point["speed"]), rel=1e-9)


def test_a_share_that_is_none_is_told():
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match=r"within: .* is not a share"):
            hbmopt.frontier("h100", within=wrong)


def test_answers_are_those_of_the_verbs(answers):
    asked = curve("gb200_nvl72", limits__power="100 kW")
    solution = hbmopt.solve("gb200_nvl72", asked.overrides)
    told = answers.answer(asked)
    assert told["mark"]["throughput"] == solution.throughput_tok_s
    assert told["mark"]["throughputs"] == solution.throughput_range_tok_s
    there = answers.plan(asked, 80.0)
    faster = hbmopt.solve("gb200_nvl72", [*asked.overrides, "limits.min_speed=80 tok/s/user"])
    assert there["mark"]["throughput"] == faster.throughput_tok_s
    caps = answers.caps(asked)
    assert caps["cap"] == 100.0
    rows = answers.power(asked, [100.0, caps["caps"][0] / 100])["rows"]
    assert [row["throughput"] for row in rows] == [solution.throughput_tok_s]
    price = next(one.unit_price for one in solution.inputs if one.name == "power_cap")
    assert rows[0]["price"] == pytest.approx(price)
    stretches = answers.limits(asked)["stretches"]
    assert stretches[0]["from"] <= stretches[0]["to"] <= stretches[-1]["to"]


def test_what_cannot_be_served_is_told_with_its_cures(answers):
    asked = curve(limits__min_speed="5000 tok/s/user")
    told = answers.answer(asked)
    assert told["mark"] is None
    assert "Nothing can be served" in told["html"]
    assert "--set" in answers.cures(asked)["html"]
    none = curve(llm="kimi_k2")
    assert answers.line(none, "rack")["points"] == []


def test_a_process_keeps_a_few_frontiers():
    kept = Answers(SOURCES)
    for at in range(KEPT + 3):
        kept.line(curve(limits__power=f"{5 + 0.1 * at} kW"), "rack")
    assert len(kept._frontiers) == KEPT


def test_a_mix_has_the_curve_of_single_configurations(answers):
    line = answers.line(curve(choices__uniform="false"), "rack")
    assert "one configuration at a time" in line["note"]
    assert line["points"] == answers.line(curve(), "rack")["points"]


# Who is let in.


@contextmanager
def explorer(*arguments):
    """Run an explorer; yields its process and its address."""
    command = [sys.executable, "-m", "hbmopt", "explore", *arguments, "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=ROOT
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address():
    with explorer(FAST) as (_, found):
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{32}/", found)
        yield found


def ask(address, path, body=None, method=None, **headers):
    """Return status, headers and text of a request."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    data = json.dumps(body) if isinstance(body, dict) else body
    connection.request(method or ("POST" if body is not None else "GET"), path, data, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


def test_only_who_has_the_token_is_let_in(address):
    own = urlsplit(address).path
    assert ask(address, own)[0] == 200
    for path in ("/", "/start.json", "/x/", own.swapcase(), own[:-2] + "/", "/%2e%2e" + own):
        status, _, text = ask(address, path)
        assert status == 403
        assert "token" in text
        assert own.strip("/") not in text
    assert ask(address, "/x/line", {"curve": {"source": FAST}})[0] == 403


def test_another_name_of_the_host_is_refused(address):
    own = urlsplit(address).path
    for name in ("evil.example", "127.0.0.1.evil.example:80", "[::1]", ""):
        assert ask(address, own, Host=name)[0] == 400
    port = urlsplit(address).port
    assert ask(address, own, Host=f"localhost:{port}")[0] == 200


def test_nothing_is_loaded_from_elsewhere_and_no_page_looks_in(address):
    status, headers, text = ask(address, urlsplit(address).path)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"https?://", text)
    assert ask(address, "/x/")[1]["Content-Security-Policy"] == policy


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("line", {"curve": {"source": "h10"}}, "did you mean 'h100'"),
        ("line", {"curve": {"source": FAST}, "per": "acre"}, "per: 'acre' is none of rack"),
        ("line", {"curve": {"source": FAST, "changes": {"limits.power": "8"}}}, "has no unit"),
        ("line", {"curve": {"source": FAST, "changes": {"limits.pwr": "8 kW"}}}, "'power'"),
        ("answer", {"curve": {"source": FAST, "changes": {"rack": "a.yaml"}}}, "names a file"),
        ("plan", {"curve": {"source": FAST}, "speed": "fast"}, "speed: 'fast' is not a number"),
        ("plan", {"curve": {"source": FAST}, "speed": -1}, "speed: -1 is not a number"),
        ("power", {"curve": {"source": FAST}, "caps": []}, "caps: a list of 1 to 50 kW"),
        ("answer", "not json", "a mapping in JSON"),
        ("answer", "[1]", "a mapping in JSON"),
        ("answer", "x" * 300_000, "200,000 bytes"),
    ],
)
def test_what_is_wrong_is_one_clear_line(address, name, body, said):
    status, _, text = ask(address, urlsplit(address).path + name, body)
    assert status == 422
    message = json.loads(text)["error"]
    assert said in message
    assert "\n" not in message
    assert "Traceback" not in message


def test_other_paths_and_methods_are_none(address):
    own = urlsplit(address).path
    assert ask(address, own + "nothing")[0] == 404
    assert ask(address, own + "line")[0] == 405
    assert ask(address, own + "../../etc/passwd")[0] in (403, 404)


def test_twenty_sessions_at_once_are_all_answered_and_the_page_stays_there(address):
    own = urlsplit(address).path

    def session(number):
        found = []
        for at in range(4):
            changes = {"limits.power": f"{6 + 0.1 * number + 0.01 * at:.2f} kW"}
            body = {"session": str(number), "curve": {"source": FAST, "changes": changes}}
            found.append(ask(address, own + "line", body)[0])
        return found

    def page():
        begun = time.monotonic()
        assert ask(address, own + "page.css")[0] == 200
        return time.monotonic() - begun

    with ThreadPoolExecutor(20) as pool:
        running = [pool.submit(session, number) for number in range(20)]
        waits = []
        while not all(one.done() for one in running):
            waits.append(page())
            time.sleep(0.05)
    assert {status for one in running for status in one.result()} == {200}
    # The files of the page come from the server itself, which never solves.
    assert sorted(waits)[len(waits) // 2] < 0.5


def test_ctrl_c_ends_it_and_its_processes():
    with explorer(FAST) as (process, found):
        body = {"session": "a", "curve": {"source": FAST}}
        assert ask(found, urlsplit(found).path + "line", body)[0] == 200
        below = children(process.pid)
        below += [one for child in below for one in children(child)]
        assert below
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors.splitlines()[-1] == "hbmopt: the explorer has ended"
    assert len(errors.splitlines()) == 2
    end = time.monotonic() + 10
    while any(map(lives, below)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(lives, below))


def children(process):
    """Return the processes that one has begun."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [one for task in tasks for one in task.read_text(encoding="utf-8").split()]


def lives(process):
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8").split()[2]
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fleets/readme_hall"], "is a fleet"),
        (["nothing_like_it"], "nothing_like_it"),
        (["h100"] * 7, "a page shows 6 at most"),
        (["h100", "--set", "limits.power"], "key=value"),
        (["http://127.0.0.1:1/t/"], "holds no question"),
    ],
)
def test_a_wrong_call_is_one_line(arguments, said):
    with explorer(*arguments) as (process, found):
        assert found == ""
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_a_port_that_is_taken_is_told(address):
    port = str(urlsplit(address).port)
    with explorer(FAST, "--port", port) as (process, _):
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"--port {port}" in errors


def test_a_missing_package_is_named(monkeypatch):
    from hbmopt.explorer.serving import require_packages

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"pip install 'hbmopt\[explore\]'"):
        require_packages()


# The page in a browser.

REACHED = """
const { asked, [arguments[0]]: reached } = document.body.dataset;
return asked !== undefined && reached === asked;
"""
MOVE = """
const range = document.querySelector(`[data-key="${arguments[0]}"] input[type=range]`);
range.value = Number(range.value) + arguments[1];
range.dispatchEvent(new Event("input", { bubbles: true }));
"""
LINES = """
return [...document.querySelectorAll("#frontier .chart svg .mark-line path")]
  .map((path) => path.getAttribute("d")).join("|");
"""
POINT = """
const path = document.querySelector("#frontier .chart svg .mark-line path");
const at = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
return [at.x, at.y];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsers.running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(browser, address):
    browser.driver.get("about:blank")
    browser.complaints()
    browser.driver.get_log("performance")
    browser.driver.get(address)
    browser.until(REACHED, "settled")
    return browser


def hosts(browser):
    """Return the hosts that were asked for anything."""
    asked = []
    for entry in browser.driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(urlsplit(message["params"]["request"]["url"]))
    assert asked
    return {one.hostname for one in asked if one.scheme not in ("data", "blob")}


def test_the_frontier_and_the_answer_follow_a_slider(page):
    before, words = page.run(LINES), page.run("return document.querySelector('#status').innerText")
    assert before
    page.run(MOVE, "rack.accelerator.hbm_bandwidth", -200)
    page.until(REACHED, "drawn")
    page.until(REACHED, "told")
    assert page.run(LINES) != before
    assert page.run("return document.querySelector('#status').innerText") != words
    page.until(REACHED, "settled")
    assert "rack.accelerator.hbm_bandwidth=" in page.run("return decodeURIComponent(location.hash)")
    assert "limited by" in page.run("return document.querySelector('#status').innerText")
    assert page.run("return document.querySelectorAll('#legend li').length") >= 1
    assert page.run("return document.querySelectorAll('#power svg .mark-symbol path').length") > 5
    assert page.complaints() == []
    assert hosts(page) == {"127.0.0.1"}


def test_a_point_of_the_curve_is_clicked_for_its_plan(page):
    x, y = page.run(POINT)
    page.run("scrollTo(0, 0)")
    page.driver.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mousePressed", "x": x, "y": y, "button": "left", "clickCount": 1},
    )
    page.driver.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mouseReleased", "x": x, "y": y, "button": "left", "clickCount": 1},
    )
    page.driver.execute_cdp_cmd(
        "Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + 1, "y": y + 1}
    )
    assert "tok/s per user" in page.until("return document.querySelector('#hover').innerText")
    speed = float(page.until("return document.querySelector('#plan').dataset.speed || ''"))
    asked = hbmopt.load(FAST).at_floor(speed * (1 - 1e-9))
    made = hbmopt.solve(asked)
    shown = page.run("return document.querySelector('#plan').innerText")
    assert f"{made.batch:,.0f} users at once" in shown
    page.run("document.querySelector('#plan button').click()")
    page.until(REACHED, "told")
    floor = page.run("return document.querySelector('[data-key=\"limits.min_speed\"] input').value")
    assert float(floor) == pytest.approx(speed, rel=1e-3)
    assert page.complaints() == []


def test_curves_are_overlaid_and_an_address_brings_them_back(page):
    page.run("document.querySelector('#overlay').click()")
    page.run(
        "const list = document.querySelector('[data-key=\"llm\"] select');"
        "list.value = 'llama_3_1_8b'; list.dispatchEvent(new Event('change'));"
    )
    page.until("return location.hash.includes('llama_3_1_8b')")
    page.until(REACHED, "settled")
    names = "return document.querySelector('#curves').innerText"
    listed, lines = page.run(names), page.run(LINES)
    assert "Llama 3.1 8B" in listed
    assert page.run("return document.querySelectorAll('#curves li').length") == 2
    shared = page.run("return location.href")
    page.driver.get("about:blank")
    page.driver.get(shared)
    page.until(REACHED, "settled")
    assert page.run(names) == listed
    assert page.run(LINES) == lines
    assert curves_in(shared)[1].changes == (("llm", "llama_3_1_8b"),)
    page.run("document.querySelector('#curves li.shown .away').click()")
    page.until(REACHED, "settled")
    assert page.run("return document.querySelectorAll('#curves li').length") == 1
    assert page.complaints() == []


def test_what_can_be_taken_along_is_what_is_asked(page, tmp_path):
    page.run(
        "window.copied = [];"
        "Object.defineProperty(navigator, 'clipboard',"
        " { value: { writeText: async (text) => { window.copied.push(text); } } });"
    )
    page.run(MOVE, "limits.power", -100)
    page.until(REACHED, "drawn")
    page.run("for (const one of document.querySelectorAll('[data-copy], #link')) { one.click(); }")
    copied = page.until("return window.copied.length === 4 && window.copied")
    written = next(text for text in copied if "llm:" in text)
    command = next(text for text in copied if text.startswith("hbmopt solve"))
    cap = re.search(r"limits\.power=([0-9.]+) kW", command)[1]
    assert yaml.safe_load(written)["limits"]["power"] == f"{cap} kW"
    assert any(text.startswith("import hbmopt") for text in copied)
    assert any(text.startswith("http://127.0.0.1") and "limits.power" in text for text in copied)
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.run("document.querySelector('#save').click()")
    page.until("return document.querySelector('#done').innerText.includes('saved')", seconds=60)
    end = time.monotonic() + 10
    while not (saved := list(tmp_path.glob("*.html"))) and time.monotonic() < end:
        time.sleep(0.05)
    assert f"limits.power={cap} kW" in saved[0].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#curve=h10", "did you mean 'h100'"),
        ("#curve=h100&set=limits.power=8", "has no unit"),
        ("#curve=h100&set=llm=/etc/passwd.json", "names a file"),
        ("#curve=h100&set=limits.min_speed=9000 tok/s/user", "Nothing can be served"),
    ],
)
def test_an_address_that_asks_what_is_wrong_is_told_so(browser, address, fragment, said):
    browser.driver.get("about:blank")
    browser.driver.get(address + fragment)
    browser.until("return document.body.innerText.includes(arguments[0])", said)


def test_it_reads_on_a_narrow_and_on_a_dark_screen(page):
    page.width(400)
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    page.driver.refresh()
    page.until(REACHED, "settled")
    assert page.run("return document.documentElement.scrollWidth") <= 400
    ink = page.run("return getComputedStyle(document.body).color")
    paper = page.run("return getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", ink)[:3])) > sum(map(int, re.findall(r"\d+", paper)[:3]))
    page.width(1200)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
